package envspec

// CUDAHint is what in an environment says that it wants CUDA.
type CUDAHint struct {
	Text     string // what is written there
	Reason   string // why that means CUDA
	Position Position
}

// WantsCUDA reports the first thing in the environment that says that it wants CUDA.
func (e Environment) WantsCUDA() (CUDAHint, bool) { return CUDAHint{}, false }
