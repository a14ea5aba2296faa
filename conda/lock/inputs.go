package lock

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/datalayer/conda2docker/conda"
)

// Inputs are what a platform's packages follow from, besides the channels' content.
type Inputs struct {
	Subdir   conda.Subdir
	Channels []conda.Channel // in the order of their priority
	Specs    []string        // in canonical form, in the user's order
	Pip      []string        // requirements, in the user's order
	Virtual  []conda.VirtualPackage
	Options  []string // whatever else changes the answer, such as "channel-priority=strict"
}

// Hash is the content hash of the inputs: the same inputs have the same hash, in every build of this program.
func (in Inputs) Hash() string {
	text := struct {
		Version  int      `json:"version"`
		Platform string   `json:"platform"`
		Channels []string `json:"channels"`
		Specs    []string `json:"specs"`
		Pip      []string `json:"pip"`
		Virtual  []string `json:"virtual_packages"`
		Options  []string `json:"options"`
	}{Version: 1, Platform: string(in.Subdir), Specs: in.Specs, Pip: in.Pip, Virtual: virtualTexts(in.Virtual), Options: in.Options}
	for _, c := range in.Channels {
		text.Channels = append(text.Channels, channelText(c))
	}
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // texts and numbers can always be written
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
