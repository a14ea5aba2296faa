package sbom

import (
	"github.com/anchore/syft/syft/cpe"
)

// curatedSource marks the CPEs of products; Syft adds no guesses to a package that has one such.
const curatedSource cpe.Source = "conda2docker-curated"

// products are the names under which the National Vulnerability Database knows the C libraries, tools and
// interpreters among Conda packages, as vendor and product. Python projects are not among them: their
// advisories are found by the dist-info that such packages bring.
var products = map[string][][2]string{
	"bash":          {{"gnu", "bash"}},
	"binutils":      {{"gnu", "binutils"}},
	"bzip2":         {{"bzip", "bzip2"}, {"bzip2_project", "bzip2"}},
	"c-ares":        {{"c-ares", "c-ares"}, {"c-ares_project", "c-ares"}},
	"cairo":         {{"cairographics", "cairo"}},
	"coreutils":     {{"gnu", "coreutils"}},
	"cudatoolkit":   {{"nvidia", "cuda_toolkit"}},
	"curl":          {{"haxx", "curl"}},
	"cyrus-sasl":    {{"cyrusimap", "cyrus-sasl"}},
	"dav1d":         {{"videolan", "dav1d"}},
	"expat":         {{"libexpat_project", "libexpat"}},
	"ffmpeg":        {{"ffmpeg", "ffmpeg"}},
	"fontconfig":    {{"fontconfig_project", "fontconfig"}},
	"freetype":      {{"freetype", "freetype"}},
	"gdal":          {{"osgeo", "gdal"}},
	"gdk-pixbuf":    {{"gnome", "gdk-pixbuf"}},
	"ghostscript":   {{"artifex", "ghostscript"}},
	"giflib":        {{"giflib_project", "giflib"}},
	"git":           {{"git-scm", "git"}, {"git", "git"}},
	"glib":          {{"gnome", "glib"}},
	"gnutls":        {{"gnu", "gnutls"}},
	"go":            {{"golang", "go"}},
	"harfbuzz":      {{"harfbuzz_project", "harfbuzz"}},
	"hdf5":          {{"hdfgroup", "hdf5"}},
	"icu":           {{"icu-project", "international_components_for_unicode"}, {"unicode", "international_components_for_unicode"}},
	"imagemagick":   {{"imagemagick", "imagemagick"}},
	"jpeg":          {{"ijg", "libjpeg"}},
	"jq":            {{"jqlang", "jq"}, {"jq_project", "jq"}},
	"krb5":          {{"mit", "kerberos_5"}},
	"lcms2":         {{"littlecms", "little_cms"}, {"littlecms", "little_cms_color_engine"}},
	"libarchive":    {{"libarchive", "libarchive"}},
	"libcurl":       {{"haxx", "libcurl"}, {"haxx", "curl"}},
	"libevent":      {{"libevent_project", "libevent"}},
	"libexpat":      {{"libexpat_project", "libexpat"}},
	"libffi":        {{"libffi_project", "libffi"}},
	"libgcrypt":     {{"gnupg", "libgcrypt"}},
	"libgdal":       {{"osgeo", "gdal"}},
	"libgit2":       {{"libgit2", "libgit2"}, {"libgit2_project", "libgit2"}},
	"libglib":       {{"gnome", "glib"}},
	"libidn2":       {{"gnu", "libidn2"}},
	"libjpeg-turbo": {{"libjpeg-turbo", "libjpeg-turbo"}},
	"liblzma":       {{"tukaani", "xz"}},
	"libnghttp2":    {{"nghttp2", "nghttp2"}},
	"libopenblas":   {{"openblas_project", "openblas"}},
	"libpng":        {{"libpng", "libpng"}},
	"libpq":         {{"postgresql", "postgresql"}},
	"libprotobuf":   {{"google", "protobuf"}, {"google", "protobuf-cpp"}},
	"librsvg":       {{"gnome", "librsvg"}},
	"libsndfile":    {{"libsndfile_project", "libsndfile"}},
	"libsqlite":     {{"sqlite", "sqlite"}},
	"libssh2":       {{"libssh2", "libssh2"}},
	"libtiff":       {{"libtiff", "libtiff"}},
	"libuv":         {{"libuv", "libuv"}},
	"libvpx":        {{"webmproject", "libvpx"}},
	"libwebp":       {{"webmproject", "libwebp"}},
	"libwebp-base":  {{"webmproject", "libwebp"}},
	"libxml2":       {{"xmlsoft", "libxml2"}},
	"libxslt":       {{"xmlsoft", "libxslt"}},
	"libzlib":       {{"zlib", "zlib"}, {"gnu", "zlib"}},
	"lz4-c":         {{"lz4_project", "lz4"}},
	"mysql-libs":    {{"oracle", "mysql"}},
	"ncurses":       {{"gnu", "ncurses"}},
	"nettle":        {{"nettle_project", "nettle"}},
	"nginx":         {{"f5", "nginx"}, {"nginx", "nginx"}},
	"nodejs":        {{"nodejs", "node.js"}},
	"openblas":      {{"openblas_project", "openblas"}},
	"openjdk":       {{"oracle", "openjdk"}},
	"openjpeg":      {{"uclouvain", "openjpeg"}},
	"openldap":      {{"openldap", "openldap"}},
	"openssh":       {{"openbsd", "openssh"}},
	"openssl":       {{"openssl", "openssl"}},
	"pango":         {{"gnome", "pango"}},
	"pcre":          {{"pcre", "pcre"}},
	"pcre2":         {{"pcre", "pcre2"}},
	"perl":          {{"perl", "perl"}},
	"pixman":        {{"pixman", "pixman"}},
	"poppler":       {{"freedesktop", "poppler"}},
	"postgresql":    {{"postgresql", "postgresql"}},
	"python":        {{"python", "python"}, {"python_software_foundation", "python"}},
	"readline":      {{"gnu", "readline"}},
	"redis-server":  {{"redis", "redis"}, {"redislabs", "redis"}},
	"rust":          {{"rust-lang", "rust"}},
	"sqlite":        {{"sqlite", "sqlite"}},
	"tar":           {{"gnu", "tar"}},
	"unixodbc":      {{"unixodbc", "unixodbc"}},
	"vim":           {{"vim", "vim"}},
	"wget":          {{"gnu", "wget"}},
	"xz":            {{"tukaani", "xz"}},
	"xz-tools":      {{"tukaani", "xz"}},
	"yaml":          {{"pyyaml", "libyaml"}},
	"yaml-cpp":      {{"yaml-cpp_project", "yaml-cpp"}},
	"zlib":          {{"zlib", "zlib"}, {"gnu", "zlib"}},
	"zstd":          {{"facebook", "zstandard"}},
}

// curatedCPEs are the CPEs of a Conda package that is one of the known products; none for any other.
func curatedCPEs(name, version string) []cpe.CPE {
	var out []cpe.CPE
	for _, p := range products[name] {
		out = append(out, cpe.CPE{
			Attributes: cpe.Attributes{Part: "a", Vendor: p[0], Product: p[1], Version: version},
			Source:     curatedSource,
		})
	}
	return out
}
