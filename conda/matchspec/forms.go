package matchspec

import (
	"regexp"
	"sync"
)

// What is rare in specs is read by regular expressions. Each is compiled when it is first needed, as most processes need few of them.
//
//nolint:gochecknoglobals // they do not change
var (
	// Names of packages, and of virtual ones (CEP 26). No separator may follow another.
	packageName = lazily(`^_?[a-z0-9]+([._-][a-z0-9]+)*[._-]?$|^_$`)
	virtualName = lazily(`^__[a-z0-9]+([._-][a-z0-9]+)*[._-]?$`)
	foreign     = lazily(`[^a-z0-9_.*-]+`)

	// Names of groups and flags (CEP 44, 45), and of features.
	featureName = lazily(`^[a-zA-Z0-9_.+:-]+$`)
	extraName   = lazily(`^[a-z0-9_.+-]{1,64}$`)
	flagName    = lazily(`^[a-z0-9_*]+(:[a-z0-9_*]+)?$`)

	// onePair is a key=value at the beginning of a text; lists and the quotes around texts are read by hand.
	onePair = lazily(`^([a-zA-Z0-9_-]+)=(?:"([^"]*)"|'([^']*)'|(\[[^\[\]]*\])|([^'"\[\], ]*))(?:[, ]+|$)`)

	// anyPair is what conda looks for in brackets. It passes over everything else, such as "version<2".
	anyPair = lazily(`([a-zA-Z0-9_-]+?)=(?:"([^'"]*?)"|'([^'"]*?)'|([^'"]*?))(?:[, ]|$)`)

	// parentheses is what conda once wrote for its own use behind a spec: "(optional)", "(target=name)".
	parentheses = lazily(`^\((optional(=[a-zA-Z]+)?|target=[^()]*|[, ])*\)$`)

	// knownSubdir finds the subdir at the end of a channel; anything else is part of the channel's name.
	knownSubdir = lazily(`^(.+)/(noarch|linux-(?:32|64|aarch64|armv6l|armv7l|ppc64|ppc64le|riscv32|riscv64|s390x)|` +
		`osx-(?:64|arm64)|win-(?:32|64|arm64)|freebsd-64|zos-z|emscripten-wasm32|wasi-wasm32)$`)

	isURL = lazily(`^[a-zA-Z][a-zA-Z0-9+.-]*://`)
)

func lazily(form string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(form) })
}
