package envspec

import (
	"github.com/google/go-containerregistry/pkg/name"
)

// Overlay is a RuntimeEnvironment resource (datalayer.io/v1) as its author wrote it.
type Overlay struct{}

// EnvVar is an environment variable of the containers.
type EnvVar struct{ Name, Value string }

// ParseOverlay reads a file with one RuntimeEnvironment. ${NAME} is replaced by what getenv gives for it.
func ParseOverlay(file File, getenv func(name string) string) (*Overlay, error) {
	return &Overlay{}, nil
}

// Name is metadata.name.
func (o *Overlay) Name() string { return "" }

// Namespace is metadata.namespace.
func (o *Overlay) Namespace() string { return "" }

// Title is spec.title.
func (o *Overlay) Title() string { return "" }

// Language is spec.language.
func (o *Overlay) Language() string { return "" }

// DockerImage is spec.dockerImage, its variables replaced, and its place.
func (o *Overlay) DockerImage() (string, Position) { return "", Position{} }

// GPUs reports whether containers get a GPU: nvidia.com/gpu in the limits or the requests is not zero.
func (o *Overlay) GPUs() bool { return false }

// Env is spec.env.
func (o *Overlay) Env() []EnvVar { return nil }

// Labels is metadata.labels.
func (o *Overlay) Labels() map[string]string { return nil }

// Warnings says what a cluster would drop or read otherwise than it looks.
func (o *Overlay) Warnings() []Warning { return nil }

// Pin is the resource with its image pinned to a digest and with the annotations added.
func (o *Overlay) Pin(ref name.Digest, annotations map[string]string) ([]byte, error) {
	return nil, nil
}
