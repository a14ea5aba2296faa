package scantest

// Advisory is one published advisory: the facts of it. Those whose ID begins with "GHSA-" are of PyPI projects, as
// GitHub's advisory database has them; the others are the National Vulnerability Database's.
type Advisory struct {
	ID        string
	Aliases   []string // other names
	Published string   // the day, e.g. "2023-10-18"
	Severity  string   // "Low", "Medium" (which GitHub calls moderate), "High" or "Critical"
	CVSS      string   // the vector of CVSS 3.1
	Score     float64  // its base score
	Summary   string
	Affected  []Affected
}

// Affected is one range of versions that an advisory is about. An empty bound is none.
type Affected struct {
	Vendor  string // of the CPE; none for PyPI projects
	Name    string // the CPE's product, or the project's name
	From    string // the first version
	Before  string // the first one that is fixed
	Through string // the last one, where the fixed one is not named
}

// Advisories are real advisories of software that Conda environments hold. Identifiers, ranges, scores and days are
// those that the sources published; an environment's packages may have the fix backported all the same.
func Advisories() []Advisory {
	return []Advisory{
		// https://nvd.nist.gov/vuln/detail/CVE-2023-38545
		{
			ID: "CVE-2023-38545", Published: "2023-10-18", Severity: "Critical",
			CVSS: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Score: 9.8,
			Summary:  "A long host name overflows a heap buffer of libcurl while it negotiates with a SOCKS5 proxy.",
			Affected: []Affected{{Vendor: "haxx", Name: "libcurl", From: "7.69.0", Before: "8.4.0"}},
		},
		// https://github.com/advisories/GHSA-j8r2-6x86-q33q
		{
			ID: "GHSA-j8r2-6x86-q33q", Aliases: []string{"CVE-2023-32681"}, Published: "2023-05-22", Severity: "Medium",
			CVSS: "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N", Score: 6.1,
			Summary:  "requests sends the credentials of a proxy on to the server that it is redirected to.",
			Affected: []Affected{{Name: "requests", From: "2.3.0", Before: "2.31.0"}},
		},
		// https://nvd.nist.gov/vuln/detail/CVE-2023-0286
		{
			ID: "CVE-2023-0286", Published: "2023-02-08", Severity: "High",
			CVSS: "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:H", Score: 7.4,
			Summary: "OpenSSL takes an X.400 address in a certificate for another type.",
			Affected: []Affected{
				{Vendor: "openssl", Name: "openssl", From: "1.0.2", Before: "1.0.2zg"},
				{Vendor: "openssl", Name: "openssl", From: "1.1.1", Before: "1.1.1t"},
				{Vendor: "openssl", Name: "openssl", From: "3.0.0", Before: "3.0.8"},
			},
		},
		// https://nvd.nist.gov/vuln/detail/CVE-2022-37434
		{
			ID: "CVE-2022-37434", Published: "2022-08-05", Severity: "Critical",
			CVSS: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Score: 9.8,
			Summary:  "zlib's inflate reads or writes past a heap buffer when a gzip header has a large extra field.",
			Affected: []Affected{{Vendor: "zlib", Name: "zlib", Through: "1.2.12"}},
		},
		// https://nvd.nist.gov/vuln/detail/CVE-2022-43551
		{
			ID: "CVE-2022-43551", Published: "2022-12-23", Severity: "High",
			CVSS: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", Score: 7.5,
			Summary:  "curl is tricked by an internationalised host name into using HTTP where HSTS asks for HTTPS.",
			Affected: []Affected{{Vendor: "haxx", Name: "curl", From: "7.77.0", Before: "7.87.0"}},
		},
		// https://nvd.nist.gov/vuln/detail/CVE-2021-34141
		{
			ID: "CVE-2021-34141", Published: "2021-12-17", Severity: "Medium",
			CVSS: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L", Score: 5.3,
			Summary:  "NumPy compares strings incompletely when it copies arrays.",
			Affected: []Affected{{Vendor: "numpy", Name: "numpy", Before: "1.22.0"}},
		},
		// https://nvd.nist.gov/vuln/detail/CVE-2022-46908
		{
			ID: "CVE-2022-46908", Published: "2022-12-12", Severity: "High",
			CVSS: "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:L", Score: 7.3,
			Summary:  "SQLite's command line lets functions through that its --safe mode prohibits.",
			Affected: []Affected{{Vendor: "sqlite", Name: "sqlite", From: "3.37.0", Before: "3.40.1"}},
		},
		// https://github.com/advisories/GHSA-8q59-q68h-6hv4
		{
			ID: "GHSA-8q59-q68h-6hv4", Aliases: []string{"CVE-2020-14343"}, Published: "2021-03-25", Severity: "Critical",
			CVSS: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", Score: 9.8,
			Summary:  "PyYAML's full loader runs code that an untrusted document brings.",
			Affected: []Affected{{Name: "PyYAML", Before: "5.4"}},
		},
	}
}
