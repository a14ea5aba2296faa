package envspec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// NewOptions are what a RuntimeEnvironment is made of where nobody wrote one.
type NewOptions struct {
	Name        string // metadata.name is made from it; the environment's name when empty
	DockerImage string // required
	GPU         bool   // containers get one GPU
}

// New is a minimal RuntimeEnvironment for an environment, so that there is a manifest without an overlay. It
// says what is required, and defaults:
//   - metadata.name: the name in lower case, with dashes for what Kubernetes does not allow in one; "environment"
//     where nothing is left of it. There is no namespace: kubectl's applies;
//   - spec.title: the name;
//   - spec.language: "r" where R is asked for and Python is not, otherwise "python";
//   - spec.resourcesRanges.default: requests of 250m CPU and 512Mi memory, limits of 1 CPU and 2Gi, and one
//     nvidia.com/gpu with GPU.
func New(env Environment, opts NewOptions) (*Overlay, error) {
	name := opts.Name
	if name == "" {
		name = env.Name
	}
	title := name
	if name = resourceName(name); title == "" {
		title = name
	}
	lines := []string{
		"apiVersion: " + APIVersion,
		"kind: " + Kind,
		"metadata:",
		"  name: " + render(name, 0),
		"spec:",
		"  title: " + render(title, 0),
		"  language: " + env.language(),
		"  dockerImage: " + render(opts.DockerImage, 0),
		"  resourcesRanges:",
		"    default:",
		"      requests:",
		`        cpu: "250m"`,
		`        memory: "512Mi"`,
		"      limits:",
		`        cpu: "1"`,
		`        memory: "2Gi"`,
	}
	if opts.GPU {
		lines = append(lines, `        nvidia.com/gpu: "1"`)
	}
	f := File{Path: name + ".yaml", Data: []byte(strings.Join(lines, "\n") + "\n")}
	o, err := ParseOverlay(f, nil)
	if err != nil {
		return nil, fmt.Errorf("making a %s: %w", Kind, err)
	}
	return o, nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// resourceName makes a Kubernetes name (RFC 1123 label) of any name.
func resourceName(s string) string {
	s = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(s), "-"), "-")
	if s = strings.TrimRight(s[:min(len(s), 63)], "-"); s == "" {
		return "environment"
	}
	return s
}

// language is the language of the environment's kernels.
func (e Environment) language() string {
	has := func(test func(string) bool) bool {
		return slices.ContainsFunc(e.Dependencies, func(d Dependency) bool { return test(string(d.Spec.Name)) })
	}
	r := has(func(n string) bool { return n == "r-base" || strings.HasPrefix(n, "r-") })
	if r && !has(func(n string) bool { return n == "python" }) {
		return "r"
	}
	return "python"
}
