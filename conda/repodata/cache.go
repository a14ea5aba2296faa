package repodata

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/datalayer/conda2docker/conda/fetch"
)

// shardsVariant is the form in which only the records of the names that are asked for need be fetched (CEP 16).
const shardsVariant = "repodata_shards.msgpack.zst"

// variants are the forms of repodata, the best first.
var variants = []string{shardsVariant, "repodata.json.zst", "repodata.json", "repodata.json.bz2"}

// plainVariant is the form that every channel should have.
const plainVariant = "repodata.json"

const (
	stateFile    = "state.json"
	shardsFolder = "shards"
)

// probeAgain is how long a server is believed not to have a better variant.
const probeAgain = 7 * 24 * time.Hour

// entry is one subdir's repodata in the cache: a folder with state.json and the files that it names. Only who holds the entry's
// lock adds to it, shards apart; readers do without, and forget a body that does not parse.
type entry struct {
	client  *fetch.Client
	url     string // of the subdir, canonical
	dir     string // of the entry
	passing bool   // the cache is gone when the repodata is open
	current bool
	memory  int // bytes of repodata that may stay in it
}

// state says what is known of a body, or that there is none.
type state struct {
	URL          string    `json:"url"` // of the variant
	Variant      string    `json:"variant,omitempty"`
	Body         string    `json:"body,omitempty"` // name of the file
	Size         int64     `json:"size,omitempty"` // of that
	Pack         string    `json:"pack,omitempty"` // name of the file that was made of a large body
	Missing      bool      `json:"missing,omitempty"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	MaxAge       int64     `json:"max_age,omitempty"` // seconds
	Checked      time.Time `json:"checked"`           // when the server was asked last
	Probed       time.Time `json:"probed"`            // when it was asked for all variants last
}

// newEntry is the place in the cache of a subdir.
func newEntry(o Options, url string, passing bool) entry {
	return entry{
		client: o.Client, url: url, dir: filepath.Join(o.Dir, key(o.Client.Places(url))), passing: passing, current: o.Current,
		memory: cmp.Or(o.memory, memoryLimit),
	}
}

// folder reports whether the subdir is a folder of this machine, which is read where it is.
func (e entry) folder() bool {
	return strings.HasPrefix(e.url, "file:") && slices.Equal(e.client.Places(e.url), []string{e.url})
}

// open gets the repodata that is current, from the cache or the server: nil where there is none. What does not parse is not kept.
func (e entry) open(ctx context.Context) (source, error) {
	if e.folder() {
		return e.openFolder(ctx)
	}
	if s, err := e.load(); err == nil && e.usable(s) {
		if x, err := e.source(ctx, s, nil); err == nil {
			e.touch()
			return x, nil
		}
	}
	unlock, err := e.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, old, err := e.refresh(ctx)
	if err != nil {
		return nil, err
	}
	x, err := e.source(ctx, s, e.store)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, errKeeping) && s.Body == old.Body && !e.client.Offline() { // the copy is damaged, and not what the server has
		if s, err = e.fetch(ctx, state{}); err == nil {
			err = e.store(s)
		}
		if err != nil {
			return nil, err
		}
		x, err = e.source(ctx, s, e.store)
	}
	if errors.Is(err, errKeeping) {
		return nil, fmt.Errorf("%s: %w", s.URL, err)
	}
	if err != nil {
		_ = os.Remove(filepath.Join(e.dir, stateFile)) // so that it is fetched anew
		return nil, fmt.Errorf("%s does not parse: %w", s.URL, err)
	}
	if of, ok := x.(*shards); ok && s.Body != old.Body {
		of.tidy()
	}
	return x, nil
}

// lock makes the entry, and waits for others who change it.
func (e entry) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return nil, err
	}
	return fetch.Lock(ctx, filepath.Join(e.dir, "lock"))
}

// key names an entry. What one mirror has is not taken for what another one has.
func key(places []string) string {
	sum := sha256.Sum256([]byte(strings.Join(places, "\n")))
	return hex.EncodeToString(sum[:8])
}

// usable reports whether what is in the cache need not be checked.
func (e entry) usable(s state) bool {
	if e.client.Offline() {
		return true
	}
	age := time.Since(s.Checked)
	return !e.current && age >= 0 && age < time.Duration(s.MaxAge)*time.Second
}

// refresh asks the server, with the entry locked. It returns the state before it, too.
func (e entry) refresh(ctx context.Context) (s, old state, err error) {
	old, err = e.load()
	switch {
	case err != nil, !e.whole(old):
		old = state{}
	case e.usable(old): // someone else has just done it
		return old, old, nil
	}
	s, err = e.fetch(ctx, old)
	switch {
	case err == nil:
	case old.Body != "" && ctx.Err() == nil && !errors.Is(err, fetch.ErrOffline):
		return s, old, fmt.Errorf("%w (the copy of %s is used with --offline)", err, old.Checked.Format(time.DateOnly))
	default:
		return s, old, err
	}
	return s, old, e.store(s)
}

// whole reports whether the body that a state names is there, and is as it was sent as far as can be seen in no time.
func (e entry) whole(s state) bool {
	if s.Missing {
		return true
	}
	info, err := os.Stat(filepath.Join(e.dir, s.Body))
	return err == nil && s.Body != "" && (s.Size == 0 || info.Size() == s.Size)
}

// fetch asks for the variant that is known, or for all in turn.
func (e entry) fetch(ctx context.Context, old state) (state, error) {
	now := time.Now()
	if old.Body != "" && (old.Variant == variants[0] || now.Sub(old.Probed) < probeAgain) {
		s, err := e.fetchVariant(ctx, old.Variant, old)
		if err == nil || !fetch.NotFound(err) {
			s.Checked, s.Probed = now, old.Probed
			return s, err
		}
	}
	var refused error
	for _, variant := range variants {
		s, err := e.fetchVariant(ctx, variant, old)
		s.Checked, s.Probed = now, now
		var status *fetch.StatusError
		switch {
		case err == nil:
			return s, nil
		case fetch.NotFound(err):
		case errors.As(err, &status) && status.Status < 500:
			// Some servers refuse what they do not have. What is said of the plain file counts most.
			if refused == nil || variant == plainVariant {
				refused = err
			}
		default:
			return state{}, err
		}
	}
	if refused != nil {
		return state{}, refused
	}
	return state{URL: e.url + "/" + plainVariant, Missing: true, Checked: now, Probed: now}, nil
}

func (e entry) fetchVariant(ctx context.Context, variant string, old state) (state, error) {
	s := state{URL: e.url + "/" + variant, Variant: variant}
	r := fetch.Request{URL: s.URL}
	if variant == shardsVariant {
		r.Limit = shardIndexLimit
	}
	if old.Variant == variant {
		r.ETag, r.LastModified = old.ETag, old.LastModified
	}
	f, err := os.CreateTemp(e.dir, "*-"+variant)
	if err != nil {
		return s, err
	}
	f.Close()
	resp, err := e.client.Save(ctx, r, f.Name())
	if err != nil || resp.NotModified {
		os.Remove(f.Name())
	}
	if err != nil {
		return s, err
	}
	s.Body, s.Size, s.ETag, s.LastModified = filepath.Base(f.Name()), resp.Size, resp.ETag, resp.LastModified
	s.MaxAge = maxAge(resp.CacheControl)
	if resp.NotModified {
		s.Body, s.Size, s.Pack, s.ETag, s.LastModified = old.Body, old.Size, old.Pack, old.ETag, old.LastModified
	}
	return s, nil
}

// load reads the state.
func (e entry) load() (state, error) {
	var s state
	b, err := os.ReadFile(filepath.Join(e.dir, stateFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return state{}, err
	}
	for _, name := range []string{s.Body, s.Pack} {
		if name != "" && (name != filepath.Base(name) || name == "..") {
			return state{}, fs.ErrInvalid
		}
	}
	if s.Missing == (s.Body != "" || s.Pack != "") {
		return state{}, fs.ErrInvalid
	}
	return s, nil
}

// store writes the state, and removes what is no longer named by it.
func (e entry) store(s state) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temp := filepath.Join(e.dir, stateFile+".new")
	if err := os.WriteFile(temp, b, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(e.dir, stateFile)); err != nil {
		return err
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		return err
	}
	for _, other := range entries {
		switch other.Name() {
		case stateFile, "lock", shardsFolder, s.Body, s.Pack:
		default:
			_ = os.Remove(filepath.Join(e.dir, other.Name())) // it is in no one's way
		}
	}
	e.touch()
	return nil
}

// touch is for pruning by age.
func (e entry) touch() {
	now := time.Now()
	_ = os.Chtimes(e.dir, now, now) // the cache may belong to someone else
}

// maxAge reads how many seconds a Cache-Control header field allows, at most a day.
func maxAge(cacheControl string) int64 {
	age := int64(0)
	for directive := range strings.SplitSeq(strings.ToLower(cacheControl), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-cache", "no-store":
			return 0
		case "max-age":
			if n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64); err == nil && n > 0 {
				age = min(n, 24*60*60)
			}
		}
	}
	return age
}
