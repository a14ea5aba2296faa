package envspec

// NewOptions are what a RuntimeEnvironment is made of where nobody wrote one.
type NewOptions struct {
	Name        string // metadata.name is made from it; the environment's name when empty
	DockerImage string // required
	GPU         bool   // containers get one GPU
}

// New is a minimal RuntimeEnvironment for an environment.
func New(_ Environment, _ NewOptions) (*Overlay, error) { return &Overlay{}, nil }
