package envspec

import (
	"fmt"
	"regexp"
	"strings"
)

// CUDAHint is what in an environment says that it wants CUDA.
type CUDAHint struct {
	Text     string // what is written there, credentials masked
	Reason   string // why that means CUDA
	Position Position
}

// String is the hint for messages: "cudatoolkit=11.8 (environment.yml:7:5) is a part of CUDA".
func (h CUDAHint) String() string { return fmt.Sprintf("%s (%s) %s", h.Text, h.Position, h.Reason) }

var (
	// cudaNames are conda packages that are a part of CUDA, or of which only a CUDA build exists.
	cudaNames = regexp.MustCompile(`^(?:__cuda|cuda|cuda-.*|cudatoolkit(?:-dev)?|cudnn|cutensor|cudss|nccl|nvcc_linux.*|` +
		`libcu(?:blas|dnn|fft|file|rand|solver|sparse|dss)(?:[-_0-9].*)?|libnv(?:jitlink|jpeg|optix)(?:-dev)?|libnpp(?:-dev)?|` +
		`cupy(?:-core)?|pytorch-cuda|cudf|cuml|cugraph|cuspatial|rapids|tensorrt|dali|.*-gpu)$`)
	// cudaBuilds are build strings of which a CUDA build is asked for.
	cudaBuilds = regexp.MustCompile(`(?i)cuda|gpu|(?:^|[_*])cu[0-9]{2,3}`)
	// cudaWheels are lines for pip that ask for CUDA: package names, extras, and PyTorch's local versions.
	cudaWheels = regexp.MustCompile(`(?i)^(?:nvidia-(?:cu|nccl|nv).*|cupy(?:-cuda.*)?|cuda-.*|.*-cu1[0-9]|.*-gpu)$`)
	cudaLines  = regexp.MustCompile(`(?i)\[[^\]]*cuda[^\]]*\]|\+cu[0-9]{2,3}\b`)
	cudaIndex  = regexp.MustCompile(`(?i)/cu[0-9]{2,3}/?$|pypi\.nvidia\.com`)
)

// WantsCUDA reports the first thing in the environment that says that it wants CUDA: conda packages by their
// names and build strings, then the nvidia channel, then the pip section. It looks at nothing else: packages
// that these depend on may still bring in CUDA, or be there for the CPU only.
func (e Environment) WantsCUDA() (CUDAHint, bool) {
	for _, d := range e.Dependencies {
		build := d.Spec.Build.String()
		switch {
		case cudaNames.MatchString(string(d.Spec.Name)):
			return CUDAHint{Text: redact(d.Text), Reason: "is a part of CUDA, or needs it", Position: d.Position}, true
		case cudaBuilds.MatchString(build) && !strings.Contains(build, "(?"):
			return CUDAHint{Text: redact(d.Text), Reason: "asks for a CUDA build", Position: d.Position}, true
		case isNvidia(d.Spec.Channel):
			return CUDAHint{Text: redact(d.Text), Reason: "is from the nvidia channel", Position: d.Position}, true
		}
	}
	for _, c := range e.Channels {
		if isNvidia(c.Text) {
			return CUDAHint{Text: c.String(), Reason: "is the channel of CUDA packages", Position: c.Position}, true
		}
	}
	for _, r := range e.Pip {
		if cudaWheels.MatchString(r.Name) || cudaLines.MatchString(r.Text) {
			return CUDAHint{Text: r.String(), Reason: "is a wheel for CUDA", Position: r.Position}, true
		}
	}
	for _, o := range e.PipOptions {
		if cudaIndex.MatchString(o.Text) {
			return CUDAHint{Text: o.String(), Reason: "is an index of wheels for CUDA", Position: o.Position}, true
		}
	}
	return CUDAHint{}, false
}

// isNvidia reports whether a channel, by name or URL, is nvidia's, or one of its labels.
func isNvidia(channel string) bool {
	channel, _, _ = strings.Cut(strings.TrimRight(channel, "/"), "/label/")
	return channel[strings.LastIndex(channel, "/")+1:] == "nvidia"
}
