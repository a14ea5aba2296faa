package envspec

import "github.com/datalayer/conda2docker/conda"

// HashInput is what a lock depends on besides the environment files.
type HashInput struct {
	Channels []conda.Channel // those that were asked, in order
	Subdir   conda.Subdir
	Virtual  []conda.VirtualPackage
	Priority string // the channel priority
}

// Hash is a hash of everything that a lock depends on: when it differs from a lock's, the lock is stale.
func (e Environment) Hash(in HashInput) string { return "" }
