# Runs inside the image, as its user, on a read-only root without a network and without a GPU: CUDA's runtime library is
# there and answers, and the image asks NVIDIA's container runtime for a driver.
import ctypes
import glob
import os
import sys

import numpy as np

assert os.getuid() == 1000
library = sorted(glob.glob(sys.prefix + "/lib/libcudart.so.*"))[0]
runtime = ctypes.CDLL(library)
runtime.cudaGetErrorString.restype = ctypes.c_char_p
count = ctypes.c_int()
answer = runtime.cudaGetErrorString(runtime.cudaGetDeviceCount(ctypes.byref(count))).decode()
assert "driver" in answer or "device" in answer, answer
assert os.environ["NVIDIA_VISIBLE_DEVICES"] == "all"
assert "compute" in os.environ["NVIDIA_DRIVER_CAPABILITIES"]
assert np.allclose(np.linalg.inv(np.diag([2.0, 4.0])), np.diag([0.5, 0.25]))
print(f"{library} looked for a GPU and says {answer!r}; numpy {np.__version__}")
