package solve

import "github.com/datalayer/conda2docker/conda"

// LinkOrder is conda.LinkOrder: the order of a solution's records.
func LinkOrder(records []*conda.Record) []*conda.Record { return conda.LinkOrder(records) }
