package layer

import (
	"context"
	"errors"
)

// DefaultBudget is how many layers packages may take: about half of the 125 that Docker's graph driver can stack, so that a base
// and executed steps have room.
const DefaultBudget = 60

// Group is the segments of one layer, in their fixed order.
type Group struct {
	Name     string // what it holds, for people
	Segments []Segment
}

// Groups divides the segments among at most budget layers (DefaultBudget when 0), in a way that depends on the packages' names and sizes alone: big packages are alone, small ones
// share a layer by the hash of their name, so that a changed package changes its own layer only. Packages without files are in no group.
func Groups(segments []Segment, budget int) []Group {
	_, _ = segments, budget
	return nil
}

// Layer makes the layer of a group, or finds it in the cache.
func (c *Cache) Layer(ctx context.Context, g Group) (Layer, error) {
	_, _ = ctx, g
	return Layer{}, errors.New("layer: not written yet")
}
