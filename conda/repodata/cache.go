package repodata

import (
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

// variants are the forms of repodata, the best first.
var variants = []string{"repodata.json.zst", "repodata.json", "repodata.json.bz2"}

// probeAgain is how long a server is believed not to have a better variant.
const probeAgain = 7 * 24 * time.Hour

// entry is one subdir's repodata in the cache: a folder with state.json and the body that it names. Only who holds
// the entry's lock adds to it; readers do without, and forget a body that does not parse.
type entry struct {
	client  *fetch.Client
	url     string // of the subdir, canonical
	dir     string // of the cache
	current bool
}

// state says what is known of a body, or that there is none.
type state struct {
	URL          string    `json:"url"` // of the variant
	Variant      string    `json:"variant,omitempty"`
	Body         string    `json:"body,omitempty"` // name of the file
	Missing      bool      `json:"missing,omitempty"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	MaxAge       int64     `json:"max_age,omitempty"` // seconds
	Checked      time.Time `json:"checked"`           // when the server was asked last
	Probed       time.Time `json:"probed"`            // when it was asked for all variants last
}

// open gets the repodata that is current, from the cache or the server, and gives its text to scan. What does not
// parse is not kept.
func (e entry) open(ctx context.Context, scan func(text string, s state, cached bool) error) error {
	places := e.client.Places(e.url)
	if strings.HasPrefix(e.url, "file:") && slices.Equal(places, []string{e.url}) {
		return e.openFolder(ctx, scan)
	}
	e.dir = filepath.Join(e.dir, key(places))
	if s, err := e.load(); err == nil && e.usable(s) {
		if text, err := e.read(s); err == nil {
			e.touch()
			return e.scan(text, s, true, scan)
		}
	}
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return err
	}
	unlock, err := fetch.Lock(ctx, filepath.Join(e.dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	s, text, cached, err := e.refresh(ctx)
	if err != nil {
		return err
	}
	return e.scan(text, s, cached, scan)
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

func (e entry) scan(text string, s state, cached bool, scan func(string, state, bool) error) error {
	err := scan(text, s, cached)
	if err == nil {
		return nil
	}
	_ = os.Remove(filepath.Join(e.dir, "state.json")) // so that it is fetched anew
	return fmt.Errorf("%s does not parse: %w", s.URL, err)
}

// refresh asks the server, with the entry locked.
func (e entry) refresh(ctx context.Context) (s state, text string, cached bool, err error) {
	old, err := e.load()
	if err == nil && !old.Missing {
		if _, statErr := os.Stat(filepath.Join(e.dir, old.Body)); statErr != nil {
			old, err = state{}, statErr
		}
	}
	if err != nil {
		old = state{}
	} else if e.usable(old) { // someone else has just done it
		if text, err = e.read(old); err == nil {
			return old, text, true, nil
		}
		old = state{}
	}
	s, err = e.fetch(ctx, old)
	switch {
	case err == nil:
	case old.Body != "" && ctx.Err() == nil && !errors.Is(err, fetch.ErrOffline):
		return s, "", false, fmt.Errorf("%w (the copy of %s is used with --offline)", err, old.Checked.Format(time.DateOnly))
	default:
		return s, "", false, err
	}
	if err := e.store(s); err != nil {
		return s, "", false, err
	}
	text, err = e.read(s)
	return s, text, s.Body != "" && s.Body == old.Body, err
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
			if refused == nil || variant == variants[1] {
				refused = err
			}
		default:
			return state{}, err
		}
	}
	if refused != nil {
		return state{}, refused
	}
	return state{URL: e.url + "/" + variants[1], Missing: true, Checked: now, Probed: now}, nil
}

func (e entry) fetchVariant(ctx context.Context, variant string, old state) (state, error) {
	s := state{URL: e.url + "/" + variant, Variant: variant}
	r := fetch.Request{URL: s.URL}
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
	s.Body, s.ETag, s.LastModified = filepath.Base(f.Name()), resp.ETag, resp.LastModified
	s.MaxAge = maxAge(resp.CacheControl)
	if resp.NotModified {
		s.Body, s.ETag, s.LastModified = old.Body, old.ETag, old.LastModified
	}
	return s, nil
}

// load reads the state.
func (e entry) load() (state, error) {
	var s state
	b, err := os.ReadFile(filepath.Join(e.dir, "state.json"))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return state{}, err
	}
	if s.Missing == (s.Body != "") || s.Body != filepath.Base(s.Body) && s.Body != "" {
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
	temp := filepath.Join(e.dir, "state.json.new")
	if err := os.WriteFile(temp, b, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(e.dir, "state.json")); err != nil {
		return err
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		return err
	}
	for _, other := range entries {
		switch other.Name() {
		case "state.json", "lock", s.Body:
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
