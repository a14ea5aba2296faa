package repodata

// WithMemory is the options with so many bytes of a repodata.json that may stay in memory.
func (o Options) WithMemory(n int) Options {
	o.memory = n
	return o
}
