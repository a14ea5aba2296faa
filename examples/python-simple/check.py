# Runs inside the image, as its user, on a read-only root without a network: what the environment is for must work.
import os
import ssl
import sys

import ipykernel
import requests
import yaml
from jupyter_client.kernelspec import KernelSpecManager

assert os.getuid() == 1000 and os.getgid() == 100, (os.getuid(), os.getgid())
assert sys.prefix == os.environ["CONDA_PREFIX"] == "/opt/conda", sys.prefix
kernel = KernelSpecManager().get_kernel_spec("python3")
assert kernel.argv[0].startswith(sys.prefix), kernel.argv
assert not os.access(sys.prefix, os.W_OK)
try:
    open("/opt/conda/written", "w")
except OSError:
    pass
else:
    raise AssertionError("the prefix is writable")
try:
    requests.get("http://192.0.2.1", timeout=1)
except requests.exceptions.RequestException:
    pass
else:
    raise AssertionError("there is a network")
total = sum(yaml.safe_load("[1, 2, 39]"))
assert total == 42
print(f"python {sys.version.split()[0]}, requests {requests.__version__}, {ssl.OPENSSL_VERSION}, ipykernel {ipykernel.__version__}: 1 + 2 + 39 = {total}")
