package scantest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anchore/grype/grype/db/provider"
	"github.com/cespare/xxhash/v2"
)

// The places that advisories come from, by the names that vunnel has for them.
const (
	nvd    = "nvd"
	github = "github"
)

const schemas = "https://raw.githubusercontent.com/anchore/vunnel/main/schema/"

// object is a JSON object.
type object map[string]any

// collect writes the advisories of one source as vunnel would after it fetched them, and describes the result;
// nil when there are none.
func collect(dir, source string, advisories []Advisory) (*provider.State, error) {
	var listing strings.Builder
	for _, a := range advisories {
		if a.source() != source {
			continue
		}
		record, err := json.Marshal(a.record())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.ID, err)
		}
		name := filepath.Join("results", strings.ToLower(a.ID)+".json")
		if err := write(filepath.Join(dir, name), record); err != nil {
			return nil, err
		}
		fmt.Fprintf(&listing, "%016x  %s\n", xxhash.Sum64(record), name)
	}
	if listing.Len() == 0 {
		return nil, nil //nolint:nilnil // no advisories, no state
	}
	if err := write(filepath.Join(dir, "checksums"), []byte(listing.String())); err != nil {
		return nil, err
	}
	state, err := json.Marshal(object{
		"provider": source, "version": 2, "distribution_version": 1, "processor": "conda2docker",
		"store": "flat-file", "urls": []string{}, "timestamp": time.Now().UTC().Format(time.RFC3339),
		"listing": object{"algorithm": "xxh64", "path": "checksums", "digest": fmt.Sprintf("%016x", xxhash.Sum64String(listing.String()))},
		"schema":  object{"version": "1.0.3", "url": schemas + "provider-workspace-state/schema-1.0.3.json"},
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "metadata.json")
	if err := write(file, state); err != nil {
		return nil, err
	}
	return provider.ReadState(file)
}

func write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// source is where the advisory is from, which its identifier tells.
func (a Advisory) source() string {
	if strings.HasPrefix(a.ID, "GHSA-") {
		return github
	}
	return nvd
}

// record is the advisory in vunnel's envelope.
func (a Advisory) record() object {
	if a.source() == github {
		return object{
			"schema":     schemas + "vulnerability/github-security-advisory/schema-1.1.0.json",
			"identifier": "github:python/" + strings.ToLower(a.ID),
			"item":       object{"Vulnerability": object{}, "Advisory": a.githubItem()},
		}
	}
	year, _, _ := strings.Cut(strings.TrimPrefix(a.ID, "CVE-"), "-")
	return object{
		"schema":     schemas + "vulnerability/nvd/schema-1.0.0.json",
		"identifier": year + "/" + strings.ToLower(a.ID),
		"item":       object{"cve": a.nvdItem()},
	}
}

// nvdItem is the record of the National Vulnerability Database.
func (a Advisory) nvdItem() object {
	matches := []object{}
	for _, x := range a.Affected {
		m := object{"vulnerable": true, "matchCriteriaId": "0", "criteria": "cpe:2.3:a:" + x.Vendor + ":" + x.Name + ":*:*:*:*:*:*:*:*"}
		for key, v := range map[string]string{"versionStartIncluding": x.From, "versionEndExcluding": x.Before, "versionEndIncluding": x.Through} {
			if v != "" {
				m[key] = v
			}
		}
		matches = append(matches, m)
	}
	return object{
		"id": a.ID, "sourceIdentifier": "nvd@nist.gov", "vulnStatus": "Analyzed",
		"published": a.Published + "T00:00:00.000", "lastModified": a.Published + "T00:00:00.000",
		"descriptions": []object{{"lang": "en", "value": a.Summary}},
		"metrics": object{"cvssMetricV31": []object{{
			"source": "nvd@nist.gov", "type": "Primary",
			"cvssData": object{"version": "3.1", "vectorString": a.CVSS, "baseScore": a.Score, "baseSeverity": strings.ToUpper(a.Severity)},
		}}},
		"weaknesses":     []object{},
		"configurations": []object{{"nodes": []object{{"operator": "OR", "negate": false, "cpeMatch": matches}}}},
		"references":     []object{{"url": "https://nvd.nist.gov/vuln/detail/" + a.ID, "source": "nvd@nist.gov"}},
	}
}

// githubItem is the record of GitHub's advisory database, for projects of PyPI.
func (a Advisory) githubItem() object {
	fixed := []object{}
	for _, x := range a.Affected {
		var limits []string
		if x.From != "" {
			limits = append(limits, ">= "+x.From)
		}
		if x.Before != "" {
			limits = append(limits, "< "+x.Before)
		}
		if x.Through != "" {
			limits = append(limits, "<= "+x.Through)
		}
		fixed = append(fixed, object{
			"name": x.Name, "identifier": x.Before, "range": strings.Join(limits, ", "),
			"ecosystem": "python", "namespace": "github:python",
			"available": object{"date": a.Published + "T00:00:00Z", "kind": "advisory"},
		})
	}
	return object{
		"ghsaId": a.ID, "Classification": "GENERAL", "Severity": a.Severity, "Summary": a.Summary, "namespace": "github:python",
		"CVSS": object{"version": "3.1", "vector_string": a.CVSS, "status": "N/A", "base_metrics": object{
			"base_score": a.Score, "base_severity": a.Severity,
		}},
		"FixedIn": fixed, "CVE": a.Aliases, "Metadata": object{"CVE": a.Aliases},
		"url": "https://github.com/advisories/" + a.ID, "withdrawn": nil,
		"published": a.Published + "T00:00:00Z", "updated": a.Published + "T00:00:00Z",
	}
}
