package attachment

// Bucket is bucket, for tests.
var Bucket = bucket
