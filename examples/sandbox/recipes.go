package sandbox

// recipe says how a conda package is made from Debian's packages.
type recipe struct {
	Name    string
	From    []string // Debian packages; the first one gives the version
	License string   // SPDX expression
	Depends []string // MatchSpecs beyond those that the files and Debian's own fields tell
	NoArch  bool     // noarch python
	Bzip2   bool     // as .tar.bz2, not .conda
	// AbsoluteRunPath puts the prefix itself, not $ORIGIN, into the run paths: a binary prefix, as most of
	// conda-forge's compiled packages have one.
	AbsoluteRunPath bool
	Constrains      []string
	Version         string // instead of Debian's
	Edits           []edit
	Drop            []string // files and folders that are left out; "x*" is every path that begins with x
	Extra           map[string]string
}

// edit replaces text in a file; a text that is not there is an error.
type edit struct{ path, old, text string }

// The packages of the sandbox's channel. Names and contents are cut as conda-forge cuts them.
func recipes() []recipe {
	var all []recipe
	all = append(all, systemLibraries()...)
	all = append(all, networkLibraries()...)
	all = append(all, imageLibraries()...)
	all = append(all, pythonItself()...)
	all = append(all, purePython()...)
	all = append(all, compiledPython()...)
	all = append(all, graphvizPackages()...)
	return append(all, troublemakers()...)
}

func systemLibraries() []recipe {
	return []recipe{
		{Name: "libgcc", From: []string{"libgcc-s1"}, License: "GPL-3.0-only WITH GCC-exception-3.1"},
		{Name: "tini", From: []string{"tini"}, License: "MIT", Drop: []string{"bin/tini-static"}},
		{Name: "libgomp", From: []string{"libgomp1"}, License: "GPL-3.0-only WITH GCC-exception-3.1"},
		{Name: "libstdcxx", From: []string{"libstdc++6"}, License: "GPL-3.0-only WITH GCC-exception-3.1", Drop: []string{"share/gdb", "share/gcc"}},
		{Name: "libgfortran5", From: []string{"libgfortran5", "libquadmath0"}, License: "GPL-3.0-only WITH GCC-exception-3.1"},
		{Name: "libxcrypt", From: []string{"libcrypt1"}, License: "LGPL-2.1-or-later"},
		{Name: "libzlib", From: []string{"zlib1g"}, License: "Zlib"},
		{Name: "zlib", From: []string{"zlib1g-dev"}, License: "Zlib", Depends: []string{"libzlib"}, Drop: []string{"lib/libz.a"}, Bzip2: true},
		{Name: "bzip2", From: []string{"libbz2-1.0", "bzip2"}, License: "bzip2-1.0.6"},
		{Name: "liblzma", From: []string{"liblzma5"}, License: "0BSD"},
		{Name: "zstd", From: []string{"libzstd1"}, License: "BSD-3-Clause"},
		{Name: "libffi", From: []string{"libffi8"}, License: "MIT"},
		{Name: "libexpat", From: []string{"libexpat1"}, License: "MIT"},
		{Name: "ncurses", From: []string{"libtinfo6", "libncursesw6", "ncurses-base"}, License: "X11", Drop: []string{"etc"}},
		{Name: "readline", From: []string{"libreadline8"}, License: "GPL-3.0-only", Bzip2: true},
		{Name: "libsqlite", From: []string{"libsqlite3-0"}, License: "blessing"},
		{Name: "sqlite", From: []string{"sqlite3"}, License: "blessing", AbsoluteRunPath: true},
		{Name: "libuuid", From: []string{"libuuid1"}, License: "BSD-3-Clause"},
		{Name: "libdb", From: []string{"libdb5.3"}, License: "Sleepycat"},
		{Name: "libnsl", From: []string{"libnsl2", "libtirpc3"}, License: "LGPL-2.1-only"},
		{Name: "libbsd", From: []string{"libbsd0", "libmd0"}, License: "BSD-3-Clause"},
		{Name: "libsodium", From: []string{"libsodium23"}, License: "ISC"},
		{Name: "zeromq", From: []string{"libzmq5", "libnorm1", "libpgm-5.3-0"}, License: "MPL-2.0", Depends: []string{"libxml2"}},
		{Name: "yaml", From: []string{"libyaml-0-2"}, License: "MIT", Bzip2: true},
		{Name: "libxml2", From: []string{"libxml2"}, License: "MIT"},
		{Name: "icu", From: []string{"libicu72"}, License: "MIT"},
		{Name: "libopenblas", From: []string{"libopenblas0-pthread"}, License: "BSD-3-Clause"},
		{Name: "cudatoolkit", From: []string{"libcudart11.0"}, License: "LicenseRef-NVIDIA-End-User-License-Agreement", Version: "11.8.0", Constrains: []string{"__cuda >=11"}},
	}
}

func networkLibraries() []recipe {
	return []recipe{
		{Name: "ca-certificates", From: []string{"ca-certificates"}, License: "MPL-2.0"},
		// Debian's libssl looks for certificates in /usr/lib/ssl, and that path cannot be made longer: the activation script says where they are.
		{Name: "openssl", From: []string{"openssl", "libssl3"}, License: "Apache-2.0", Depends: []string{"ca-certificates"}, AbsoluteRunPath: true, Drop: []string{"etc", "lib/ssl"}, Extra: map[string]string{
			"etc/conda/activate.d/openssl.sh":   "export SSL_CERT_FILE=\"$CONDA_PREFIX/ssl/cacert.pem\"\n",
			"etc/conda/deactivate.d/openssl.sh": "unset SSL_CERT_FILE\n",
		}},
		{Name: "krb5", From: []string{"libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libcom-err2"}, License: "MIT"},
		{Name: "keyutils", From: []string{"libkeyutils1"}, License: "LGPL-2.1-or-later"},
		{Name: "libcurl", From: []string{"libcurl4"}, License: "curl", AbsoluteRunPath: true},
		{Name: "curl", From: []string{"curl"}, License: "curl"},
		{Name: "libnghttp2", From: []string{"libnghttp2-14"}, License: "MIT"},
		{Name: "libidn2", From: []string{"libidn2-0"}, License: "LGPL-3.0-or-later"},
		{Name: "libunistring", From: []string{"libunistring2"}, License: "LGPL-3.0-or-later"},
		{Name: "libpsl", From: []string{"libpsl5"}, License: "MIT"},
		{Name: "librtmp", From: []string{"librtmp1"}, License: "LGPL-2.1-or-later"},
		{Name: "gnutls", From: []string{"libgnutls30"}, License: "LGPL-2.1-or-later"},
		{Name: "nettle", From: []string{"libnettle8", "libhogweed6"}, License: "LGPL-3.0-or-later"},
		{Name: "gmp", From: []string{"libgmp10"}, License: "LGPL-3.0-or-later"},
		{Name: "p11-kit", From: []string{"libp11-kit0"}, License: "BSD-3-Clause"},
		{Name: "libtasn1", From: []string{"libtasn1-6"}, License: "LGPL-2.1-or-later"},
		{Name: "libssh2", From: []string{"libssh2-1"}, License: "BSD-3-Clause"},
		{Name: "openldap", From: []string{"libldap-2.5-0"}, License: "OLDAP-2.8", Drop: []string{"etc"}},
		{Name: "cyrus-sasl", From: []string{"libsasl2-2"}, License: "BSD-3-Clause-Attribution"},
		{Name: "libbrotlicommon", From: []string{"libbrotli1"}, License: "MIT"},
	}
}

func imageLibraries() []recipe {
	return []recipe{
		{Name: "freetype", From: []string{"libfreetype6"}, License: "FTL"},
		{Name: "libpng", From: []string{"libpng16-16"}, License: "libpng-2.0"},
		{Name: "libjpeg-turbo", From: []string{"libjpeg62-turbo"}, License: "BSD-3-Clause"},
		{Name: "libtiff", From: []string{"libtiff6"}, License: "libtiff"},
		{Name: "jbig", From: []string{"libjbig0"}, License: "GPL-2.0-or-later"},
		{Name: "libdeflate", From: []string{"libdeflate0"}, License: "MIT"},
		{Name: "lerc", From: []string{"liblerc4"}, License: "Apache-2.0"},
		{Name: "libwebp-base", From: []string{"libwebp7", "libwebpdemux2", "libwebpmux3"}, License: "BSD-3-Clause"},
		{Name: "openjpeg", From: []string{"libopenjp2-7"}, License: "BSD-2-Clause"},
		{Name: "lcms2", From: []string{"liblcms2-2"}, License: "MIT"},
		{Name: "libimagequant", From: []string{"libimagequant0"}, License: "GPL-3.0-or-later"},
		{Name: "libraqm", From: []string{"libraqm0"}, License: "MIT"},
		{Name: "qhull", From: []string{"libqhull-r8.0"}, License: "Qhull"},
		{Name: "libxcb", From: []string{"libxcb1", "libxau6", "libxdmcp6", "libxcb-render0", "libxcb-shm0"}, License: "MIT"},
		{Name: "font-ttf-dejavu-sans-mono", From: []string{"fonts-dejavu-core"}, License: "LicenseRef-Bitstream-Vera", Drop: []string{"etc"}},
	}
}

func pythonItself() []recipe {
	return []recipe{
		{Name: "tzdata", From: []string{"tzdata"}, License: "LicenseRef-Public-Domain"},
		{
			Name: "python", From: []string{"python3.11-minimal", "python3.11", "libpython3.11-minimal", "libpython3.11-stdlib", "python3-distutils", "python3-lib2to3"},
			License: "Python-2.0", Depends: []string{"tzdata", "ncurses", "readline", "openssl", "libsqlite"},
			Drop: []string{
				"lib/python3.11/EXTERNALLY-MANAGED", "lib/python3.11/sitecustomize.py", "lib/python3.11/test", "share/binfmts", "lib/binfmt.d", "etc",
				"lib/python3.10", "lib/python3.9", "lib/python3.12",
			},
			Edits: []edit{
				// Debian's pip installs below local/lib; a conda python's does as upstream.
				{"lib/python3.11/sysconfig.py", `prefix_scheme = 'posix_local'`, `prefix_scheme = 'posix_prefix'`},
			},
		},
	}
}

func purePython() []recipe {
	pure := func(name, debian, license string, depends ...string) recipe {
		return recipe{Name: name, From: []string{debian}, License: license, NoArch: true, Depends: depends}
	}
	setuptools := pure("setuptools", "python3-setuptools", "MIT")
	setuptools.From = append(setuptools.From, "python3-pkg-resources")
	six := pure("six", "python3-six", "MIT")
	six.Bzip2 = true
	return []recipe{
		pure("pip", "python3-pip", "MIT", "setuptools", "wheel"),
		setuptools,
		six,
		pure("wheel", "python3-wheel", "MIT"),
		pure("python-dateutil", "python3-dateutil", "Apache-2.0", "six"),
		pure("pytz", "python3-tz", "MIT"),
		pure("packaging", "python3-packaging", "Apache-2.0"),
		pure("xarray", "python3-xarray", "Apache-2.0", "numpy >=1.20", "pandas >=1.3", "packaging >=21.3"),
		pure("cycler", "python3-cycler", "BSD-3-Clause"),
		pure("pyparsing", "python3-pyparsing", "MIT"),
		pure("requests", "python3-requests", "Apache-2.0"),
		pure("charset-normalizer", "python3-charset-normalizer", "MIT"),
		pure("chardet", "python3-chardet", "LGPL-2.1-or-later"),
		pure("idna", "python3-idna", "BSD-3-Clause"),
		pure("urllib3", "python3-urllib3", "MIT"),
		pure("certifi", "python3-certifi", "MPL-2.0"),
		pure("ipykernel", "python3-ipykernel", "BSD-3-Clause"),
		pure("ipython", "python3-ipython", "BSD-3-Clause"),
		pure("jupyter_client", "python3-jupyter-client", "BSD-3-Clause"),
		pure("jupyter_core", "python3-jupyter-core", "BSD-3-Clause"),
		pure("traitlets", "python3-traitlets", "BSD-3-Clause"),
		pure("matplotlib-inline", "python3-matplotlib-inline", "BSD-3-Clause"),
		pure("nest-asyncio", "python3-nest-asyncio", "BSD-2-Clause"),
		pure("entrypoints", "python3-entrypoints", "MIT"),
		pure("decorator", "python3-decorator", "BSD-2-Clause"),
		pure("backcall", "python3-backcall", "BSD-3-Clause"),
		pure("jedi", "python3-jedi", "MIT"),
		pure("parso", "python3-parso", "MIT"),
		pure("pickleshare", "python3-pickleshare", "MIT"),
		pure("pexpect", "python3-pexpect", "ISC"),
		pure("ptyprocess", "python3-ptyprocess", "ISC"),
		pure("prompt-toolkit", "python3-prompt-toolkit", "BSD-3-Clause"),
		pure("wcwidth", "python3-wcwidth", "MIT"),
		pure("pygments", "python3-pygments", "BSD-2-Clause"),
		pure("stack_data", "python3-stack-data", "MIT"),
		pure("executing", "python3-executing", "MIT"),
		pure("asttokens", "python3-asttokens", "Apache-2.0"),
		pure("pure_eval", "python3-pure-eval", "MIT"),
		pure("py", "python3-py", "MIT"),
	}
}

func compiledPython() []recipe {
	compiled := func(name, license string, debian ...string) recipe {
		return recipe{Name: name, From: debian, License: license}
	}
	const site = "lib/python3.11/site-packages/"
	debugpy := compiled("debugpy", "MIT", "python3-debugpy", "python3-pydevd", "python3-bytecode")
	debugpy.Drop = []string{site + "pydev_app_engine_debug_startup.py"} // a script that another program reads, no module
	matplotlib := compiled("matplotlib-base", "PSF-2.0", "python3-matplotlib", "python-matplotlib-data")
	const configuration = site + "matplotlib/__init__.py"
	matplotlib.Edits = []edit{
		{configuration, "/usr/share/matplotlib", placeholder + "/share/matplotlib"},
		{configuration, "/etc/matplotlibrc", placeholder + "/etc/matplotlibrc"},
	}
	return []recipe{
		compiled("numpy", "BSD-3-Clause", "python3-numpy"),
		compiled("pandas", "BSD-3-Clause", "python3-pandas", "python3-pandas-lib"),
		matplotlib,
		compiled("contourpy", "BSD-3-Clause", "python3-contourpy"),
		compiled("kiwisolver", "BSD-3-Clause", "python3-kiwisolver"),
		compiled("fonttools", "MIT", "python3-fonttools"),
		compiled("pillow", "HPND", "python3-pil"),
		compiled("brotli-python", "MIT", "python3-brotli"),
		compiled("psutil", "BSD-3-Clause", "python3-psutil"),
		compiled("pyzmq", "BSD-3-Clause", "python3-zmq"),
		compiled("tornado", "Apache-2.0", "python3-tornado"),
		compiled("pyyaml", "MIT", "python3-yaml"),
		debugpy,
	}
}

// graphvizPackages has the package with a post-link script: as conda-forge's graphviz does, it lists its plugins
// after it was linked.
func graphvizPackages() []recipe {
	return []recipe{
		{
			Name: "graphviz", License: "EPL-1.0",
			From: []string{"graphviz", "libgvc6", "libgvpr2", "libcgraph6", "libcdt5", "libpathplan4", "libann0", "liblab-gamut1", "libltdl7"},
			Drop: []string{
				// what draws in windows or needs libgd with its video codecs
				"lib/graphviz/libgvplugin_gd.*", "lib/graphviz/libgvplugin_webp.*", "lib/graphviz/libgvplugin_xlib.*", "bin/dot_builtins", "bin/lefty", "bin/smyrna", "bin/diffimg", "bin/gvpack", // gvpack is linked to a plugin that Debian has its loader find
				"bin/lneato", "bin/dotty", "bin/vimdot", "share/graphviz/lefty", "share/graphviz/doc", "share/graphviz/demo", "share/graphviz/graphs",
			},
			Extra: map[string]string{"bin/.graphviz-post-link.sh": "#!/bin/bash\nset -eu\n\"$PREFIX/bin/dot\" -c\n"},
		},
		{Name: "gts", From: []string{"libgts-0.7-5"}, License: "LGPL-2.0-or-later"},
		{Name: "libglib", From: []string{"libglib2.0-0"}, License: "LGPL-2.1-or-later"},
		{Name: "pcre2", From: []string{"libpcre2-8-0"}, License: "BSD-3-Clause"},
		{Name: "libselinux", From: []string{"libselinux1"}, License: "LicenseRef-Public-Domain"},
		{Name: "libmount", From: []string{"libmount1", "libblkid1"}, License: "LGPL-2.1-or-later"},
		{Name: "cairo", From: []string{"libcairo2"}, License: "LGPL-2.1-only OR MPL-1.1"},
		{Name: "pixman", From: []string{"libpixman-1-0"}, License: "MIT"},
		{Name: "pango", From: []string{"libpango-1.0-0", "libpangocairo-1.0-0", "libpangoft2-1.0-0"}, License: "LGPL-2.1-or-later"},
		{Name: "harfbuzz", From: []string{"libharfbuzz0b"}, License: "MIT"},
		{Name: "graphite2", From: []string{"libgraphite2-3"}, License: "LGPL-2.0-or-later"},
		{Name: "fribidi", From: []string{"libfribidi0"}, License: "LGPL-2.1-or-later"},
		{Name: "libthai", From: []string{"libthai0", "libthai-data", "libdatrie1"}, License: "LGPL-2.1-or-later"},
		{
			Name: "fontconfig", From: []string{"libfontconfig1", "fontconfig", "fontconfig-config"}, License: "HPND", Depends: []string{"font-ttf-dejavu-sans-mono"},
			Extra: map[string]string{
				"etc/conda/activate.d/fontconfig.sh":   "export FONTCONFIG_PATH=\"$CONDA_PREFIX/etc/fonts\"\n",
				"etc/conda/deactivate.d/fontconfig.sh": "unset FONTCONFIG_PATH\n",
			},
		},
		{Name: "xorg-libx11", From: []string{"libx11-6", "libx11-data"}, License: "MIT"},
		{Name: "xorg-libxext", From: []string{"libxext6"}, License: "MIT"},
		{Name: "xorg-libxrender", From: []string{"libxrender1"}, License: "MIT"},
	}
}

// troublemakers are what no example has, for the tests: small packages that conda2docker must refuse, or handle with care. They have none
// of the files of the Debian package that gives them their version.
func troublemakers() []recipe {
	made := func(name, license string, extra map[string]string, depends ...string) recipe {
		return recipe{Name: name, From: []string{"netbase"}, License: license, Drop: []string{"etc", "share"}, Extra: extra, Depends: depends}
	}
	unsound := made("unsound", "MIT", map[string]string{
		"site-packages/unsound/__init__.py": "import no_such_module_anywhere\n",
		"site-packages/sound.py":            "answer = 42\n",
	}, "python >=3.11")
	unsound.NoArch = true
	return []recipe{
		made("quits-when-linked", "MIT", map[string]string{
			"bin/.quits-when-linked-post-link.sh": "#!/bin/bash\necho 'no licence was found for quits-when-linked' >> \"$PREFIX/.messages.txt\"\nexit 3\n",
		}),
		made("thread-limit", "MIT", map[string]string{
			"etc/conda/activate.d/thread-limit.sh":   "export OMP_NUM_THREADS=\"$(nproc)\"\n",
			"etc/conda/deactivate.d/thread-limit.sh": "unset OMP_NUM_THREADS\n",
		}),
		unsound,
	}
}
