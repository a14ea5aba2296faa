package envspec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// variablesSection is where environment files set variables.
const variablesSection = "variables"

// CheckCredentials refuses variables that look like credentials, by name or by value: everybody who can pull an image reads its
// environment. Those whose names are allowed pass, and PATH never does: conda's programs would not be on it. Each error is an *Error that does not show the value.
func (e Environment) CheckCredentials(allowed []string) error {
	var errs []error
	for _, v := range e.Variables {
		if err := checkCredential(variablesSection, v.Name, v.Value, v.Position, allowed); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// CheckCredentials does for the resource's env what that of an Environment does for its variables.
func (o *Overlay) CheckCredentials(allowed []string) error {
	var errs []error
	for i, v := range o.resource.env {
		if err := checkCredential("spec.env", v.Name, v.Value, o.resource.envAt[i], allowed); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// CheckLabel refuses a value of a label, which everybody reads who can pull the image, that is unmistakably a credential. The error
// does not show it.
func CheckLabel(name, value string) error {
	if kind := credentialValue(value); kind != "" {
		return fmt.Errorf("%s: its value is %s, and everybody who can pull the image would read it: leave that out", name, kind)
	}
	return nil
}

// queryCredential is the parameter of a URL's query that is a credential: "" where there is none.
func queryCredential(text string) string {
	_, query, _ := strings.Cut(text, "?")
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if queryNames.MatchString(name) || CredentialName(strings.ReplaceAll(name, "-", "_")) {
			return name
		}
	}
	return ""
}

var queryNames = regexp.MustCompile(`(?i)^(?:sig|signature|key|apikey|api_key|auth|x-amz-[a-z-]+|x-goog-[a-z-]+)$`)

func checkCredential(section, name, value string, at Position, allowed []string) error {
	if section == variablesSection && name == "PATH" {
		return &Error{Position: at, Source: name + ": " + value, Msg: section +
			": PATH: the image's is made of the environment's and the base's: put programs where it leads with --copy or --post-build, or set spec.env of the overlay"}
	}
	if slices.Contains(allowed, name) {
		return nil
	}
	why := ""
	if kind := credentialValue(value); kind != "" {
		why = "its value is " + kind
	} else if CredentialName(name) && !tellsNothing(name, value) {
		why = "its name is that of a credential"
	} else {
		return nil
	}
	// The line of the file is not shown: the value may be on it.
	return &Error{Position: at, Source: name + ": " + mask, Msg: fmt.Sprintf(
		"%s: %s: %s, and everybody who can pull the image would read it: give it to the container when it runs (a Secret), or allow it with --allow-env %s", section, name, why, name)}
}

// The names of credentials, in upper case and without numbers at their end, and those that speak of one without being it.
var (
	credentialNames = regexp.MustCompile(`(?:PASSWORD|PASSWD|PASSPHRASE|SECRET)S?(?:_|$)` +
		`|_(?:PASS|PWD|CREDS)$|CREDENTIALS?$|CONNECTION_?STRING$` +
		`|TOKEN$|(?:^|_)(?:API|AUTH|ACCESS|BEARER|REFRESH|SESSION)_?TOKENS?(?:_|$)` +
		`|(?:API|ACCESS|PRIVATE|ENCRYPTION|SIGNING|AUTH|ACCOUNT|MASTER|DEPLOY|SSH|HMAC|JWT|SAS|SERVICE)_?KEYS?(?:_|$)`)
	speaksOfCredentials = regexp.MustCompile(`_(?:FILE|PATH|DIR|DIRECTORY|FOLDER|MOUNT|URL|URI|HOST|ENDPOINT|NAME|HEADER|TTL|TIMEOUT|EXPIRY|EXPIRES|EXPIRATION|` +
		`LENGTH|LIMIT|COUNT|BUDGET|POLICY|PROMPT|REQUIRED|ENABLED|DISABLED|TYPE|PROVIDER|BACKEND|STORE|HELPER|COMMAND|CMD|SCOPES?|ALGORITHM|VERSION|REGION)$` +
		`|(?:^|_)(?:MAX|MIN|NUM|PAD|EOS|BOS|UNK|MASK|CLS|SEP|STOP|START|END)_TOKEN$|(?:^|_)(?:OLD|INIT)_?PWD$|(?:^|_)(?:PUBLIC|FIRST|SECOND|LAST)_(?:KEY|PASS)$`)
	numbered = regexp.MustCompile(`(?:_?[0-9]+)+$`)
)

// CredentialName reports whether a variable of that name usually holds a credential.
func CredentialName(name string) bool {
	name = numbered.ReplaceAllString(strings.ToUpper(name), "")
	return credentialNames.MatchString(name) && !speaksOfCredentials.MatchString(name)
}

// tellsNothing reports whether a value is none that anybody could log in with: none at all, a switch, or the place of a file where
// the name, as GOOGLE_APPLICATION_CREDENTIALS, is usually that of one.
func tellsNothing(name, value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "", "0", "1", "true", "false", "yes", "no", "on", "off", "none", "null":
		return true
	}
	return strings.HasSuffix(strings.ToUpper(name), "CREDENTIALS") && strings.HasPrefix(value, "/")
}

// credentialValues are what issuers of credentials make them recognisable by.
var credentialValues = []struct {
	kind    string
	pattern *regexp.Regexp
}{
	{"a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY`)},
	{"an access key of AWS", regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"a token of GitHub", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{22,}`)},
	{"a token of GitLab", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}`)},
	{"a token of Slack", regexp.MustCompile(`\bxox[abprs]-[A-Za-z0-9-]{10,}`)},
	{"a token of Hugging Face", regexp.MustCompile(`\bhf_[A-Za-z0-9]{30,}`)},
	{"a token of npm", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`)},
	{"a token of PyPI", regexp.MustCompile(`\bpypi-AgEI[A-Za-z0-9_-]{30,}`)},
	{"a token of Docker", regexp.MustCompile(`\bdckr_[a-z]+_[A-Za-z0-9_-]{20,}`)},
	{"an API key of Google", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}`)},
	{"an API key", regexp.MustCompile(`\bsk-(?:[a-z0-9]+-)*[A-Za-z0-9_]{20,}`)},
	{"a signed token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.`)},
	{"a URL with a password", regexp.MustCompile(`://[^/\s:@]*:[^/\s@$][^/\s@]*@`)},
}

// credentialValue is what a value unmistakably is, "" where it is no credential.
func credentialValue(value string) string {
	for _, c := range credentialValues {
		if c.pattern.MatchString(value) {
			return c.kind
		}
	}
	return ""
}
