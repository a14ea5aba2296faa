package condatest

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// channelFiles are the files of a channel, by path: the archives, and each subdir's repodata.
func channelFiles(archives []Archive, shards *Shards) (map[string][]byte, error) {
	files := map[string][]byte{}
	subdirs := map[conda.Subdir][]*conda.Record{conda.NoArchSubdir: nil} // a channel is one that has noarch
	for _, a := range archives {
		r := *a.Record
		r.FileName = a.FileName
		subdirs[r.Subdir] = append(subdirs[r.Subdir], &r)
		files[string(a.Record.Subdir)+"/"+a.FileName] = a.Bytes
	}
	for subdir, records := range subdirs {
		plain, err := RepodataJSON(subdir, records)
		if err != nil {
			return nil, err
		}
		name := string(subdir) + "/repodata.json"
		files[name] = plain
		if files[name+".zst"], err = compressZstd(plain); err != nil {
			return nil, err
		}
		if files[name+".bz2"], err = compressBzip2(plain); err != nil {
			return nil, err
		}
		if shards != nil {
			if err := shards.addShards(files, subdir, records); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// RepodataJSON is the index of one subdir (CEP 36): the records by their file names, sorted, as conda-index does.
func RepodataJSON(subdir conda.Subdir, records []*conda.Record) ([]byte, error) {
	packages, packagesConda := map[string]indexJSON{}, map[string]indexJSON{}
	for _, r := range records {
		if strings.HasSuffix(r.FileName, string(TarBz2)) {
			packages[r.FileName] = newIndexJSON(r)
		} else {
			packagesConda[r.FileName] = newIndexJSON(r)
		}
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false) // rattler reads no escaped dependencies
	err := e.Encode(struct {
		Info          map[string]string    `json:"info"`
		Packages      map[string]indexJSON `json:"packages"`
		PackagesConda map[string]indexJSON `json:"packages.conda"`
		Removed       []string             `json:"removed"`
		Version       int                  `json:"repodata_version"`
	}{map[string]string{"subdir": string(subdir)}, packages, packagesConda, []string{}, 1})
	return body.Bytes(), err
}
