package sqlstore

import (
	"context"
)

// migrate brings the schema, of format have, to that of this release, on a
// connection in a transaction that keeps others from doing the same.
func migrate(ctx context.Context, q querier, have int, steps [][]string, stamp string, in func(string) string) error {
	for i, step := range steps[have:] {
		for _, text := range step {
			if err := exec(ctx, q, in(text)); err != nil {
				return err
			}
		}
		if _, err := q.ExecContext(ctx, in(stamp), have+i+1); err != nil {
			return err
		}
	}
	return nil
}

// formatOf returns the format of the schema, 0 if there is none. There tells
// whether there is one.
func formatOf(ctx context.Context, q querier, there, format string, known int) (have int, err error) {
	var tables int
	if err := queryRow(ctx, q, there, nil, &tables); err != nil || tables == 0 {
		return 0, err
	}
	if err := queryRow(ctx, q, format, nil, &have); err != nil {
		return 0, err
	}
	if have < 1 {
		return 0, errNoMeta
	}
	if have > known {
		return 0, errNewer
	}
	return have, nil
}
