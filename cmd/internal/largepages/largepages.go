// Package largepages lets Go's heap grow into large pages.
package largepages

// Size is how much of the heap they are asked for: what reading a channel's index and resolving takes.
const Size = 64 << 20
