package condatest

import (
	"encoding/json"
	"strings"

	"github.com/datalayer/conda2docker/conda"
)

// channelFiles are the files of a channel, by path: the archives, and each subdir's repodata.
func channelFiles(archives []Archive, shards *Shards) (map[string][]byte, error) {
	files := map[string][]byte{}
	subdirs := map[conda.Subdir][]Archive{conda.NoArchSubdir: nil} // a channel is one that has noarch
	for _, a := range archives {
		subdirs[a.Record.Subdir] = append(subdirs[a.Record.Subdir], a)
		files[string(a.Record.Subdir)+"/"+a.FileName] = a.Bytes
	}
	for subdir, of := range subdirs {
		plain, err := repodataJSON(subdir, of)
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
			if err := shards.addShards(files, subdir, of); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// repodataJSON is the index of one subdir (CEP 36); its entries are sorted by file name, as conda-index does.
func repodataJSON(subdir conda.Subdir, archives []Archive) ([]byte, error) {
	packages, packagesConda := map[string]indexJSON{}, map[string]indexJSON{}
	for _, a := range archives {
		if strings.HasSuffix(a.FileName, string(TarBz2)) {
			packages[a.FileName] = newIndexJSON(a.Record)
		} else {
			packagesConda[a.FileName] = newIndexJSON(a.Record)
		}
	}
	return json.Marshal(struct {
		Info          map[string]string    `json:"info"`
		Packages      map[string]indexJSON `json:"packages"`
		PackagesConda map[string]indexJSON `json:"packages.conda"`
		Removed       []string             `json:"removed"`
		Version       int                  `json:"repodata_version"`
	}{map[string]string{"subdir": string(subdir)}, packages, packagesConda, []string{}, 1})
}
