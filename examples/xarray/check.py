# Runs inside the image, as its user, on a read-only root without a network: a computed result, and a plot of it.
import io
import os
import tempfile

os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp()  # the home is read-only too

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr

matplotlib.use("agg")
import matplotlib.pyplot as plt

assert os.getuid() == 1000
times = pd.date_range("2024-01-01", periods=366)
air = xr.DataArray(
    np.arange(366 * 2 * 3, dtype=float).reshape(366, 2, 3), dims=("time", "lat", "lon"), coords={"time": times, "lat": [10, 20], "lon": [1, 2, 3]}, name="air"
)
monthly = air.groupby("time.month").mean()
assert monthly.sizes["month"] == 12
january = float(monthly.sel(month=1, lat=10, lon=1))
assert january == 90.0, january
picture = io.BytesIO()
air.mean(("lat", "lon")).plot()
plt.savefig(picture, format="png")
assert picture.getvalue().startswith(b"\x89PNG") and picture.tell() > 5000
print(f"xarray {xr.__version__}, pandas {pd.__version__}, numpy {np.__version__}: mean of January = {january}, a plot of {picture.tell()} bytes")
