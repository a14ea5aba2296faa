package envspec

import "regexp"

// The names of packages that conda-forge and defaults have for one system only, and that exports from it therefore have in them: what
// Microsoft's and Apple's compilers need, and what wraps the systems' own interfaces.
var (
	windowsNames = regexp.MustCompile(`^(?:vc|vc14_runtime|vcomp14|vs20[0-9]{2}_runtime|ucrt|icc_rt|libwinpthread|getopt-win32|pthreads-win32|dlfcn-win32|dirent|` +
		`pywin32|pywin32-ctypes|pypiwin32|pywinpty|winpty|pyreadline3?|wincertstore|win_inet_pton|win_unicode_console|wmi|windows-curses|nsis|rcedit|` +
		`console_shortcut.*|powershell_shortcut.*|m2w64-.*|m2-.*|msys2-conda-epoch|.*_win-(?:32|64|arm64))$`)
	macNames = regexp.MustCompile(`^(?:appnope|python\.app|pyobjc-.*|cctools|ld64|tapi|libtapi|sigtool|sigtool-codesign|libsigtool|libcxx-devel|libcxxabi|xattr|mlx|` +
		`.*_osx-(?:64|arm64))$`)
)

// OnlyFor is the system, "Windows" or "macOS", that a package of the dependency's name is known to be for; "" where it is not known
// for any. A channel may have such a package for others nevertheless.
func (d Dependency) OnlyFor() string {
	switch name := string(d.Spec.Name); {
	case windowsNames.MatchString(name):
		return "Windows"
	case macNames.MatchString(name):
		return "macOS"
	}
	return ""
}

// PinsBuild reports whether the dependency asks for one build of one version, as exports of environments do.
func (d Dependency) PinsBuild() bool {
	return exactBuild.MatchString(d.Spec.Build.String()) && exactVersion.MatchString(d.Spec.Version.String())
}

var (
	exactBuild   = regexp.MustCompile(`^[A-Za-z0-9_.+]+$`)
	exactVersion = regexp.MustCompile(`^={0,2}[A-Za-z0-9_.+!-]+$`)
)
