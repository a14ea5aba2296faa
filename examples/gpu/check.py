# Runs inside the image, as its user, on a read-only root without a network and without a GPU: CUDA's runtime library is
# there and answers, and the image asks NVIDIA's container runtime for a driver.
import ctypes
import glob
import os
import sys

import numpy as np

assert os.getuid() == 1000
library = sorted(glob.glob(sys.prefix + "/lib/libcudart.so.*"))[0]
version = ctypes.c_int()
assert ctypes.CDLL(library).cudaRuntimeGetVersion(ctypes.byref(version)) == 0
assert version.value // 1000 == 11, version.value
assert os.environ["NVIDIA_VISIBLE_DEVICES"] == "all"
assert "compute" in os.environ["NVIDIA_DRIVER_CAPABILITIES"]
assert np.allclose(np.linalg.inv(np.diag([2.0, 4.0])), np.diag([0.5, 0.25]))
print(f"CUDA runtime {version.value // 1000}.{version.value % 1000 // 10} from {library}, numpy {np.__version__}")
