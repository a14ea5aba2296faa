package fetch

import (
	"context"
	"errors"

	"github.com/datalayer/conda2docker/conda"
)

// Archives is the cache of package archives, addressed by their content: Dir/SHA256/FILENAME. Any number of
// processes may share one; its entries may be removed at any time.
type Archives struct {
	Client *Client
	Dir    string
	// Verify hashes archives also when they are already in the cache.
	Verify bool
}

// Archive is a package's archive in the cache.
type Archive struct {
	Path   string
	SHA256 string // lower-case hex
	Size   int64
}

// Progress is how far a record's archive has come.
type Progress struct {
	Record *conda.Record
	Bytes  int64 // that are there by now, Record.Size at the end where that is known
	Done   bool
	Cached bool // nothing had to be fetched
}

// Fetch returns the record's archive, fetching it unless the cache has it. progress may be nil.
func (a *Archives) Fetch(ctx context.Context, r *conda.Record, progress func(Progress)) (Archive, error) {
	return Archive{}, errors.New("fetch: not there yet")
}

// FetchAll fetches the records' archives, so many at a time (0 means 5), and returns them in the records' order.
// The first error ends it.
func (a *Archives) FetchAll(ctx context.Context, rs []*conda.Record, parallel int, progress func(Progress)) ([]Archive, error) {
	return nil, errors.New("fetch: not there yet")
}
