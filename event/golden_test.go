package event

// Computed by another implementation, with Python's hashlib.
const (
	goldenDerived        = "4767c075-7de5-86a4-a415-5710df795d6e"
	goldenName           = "14d4223f-261b-8a08-a80d-79841f15caa0"
	goldenHandler uint64 = 0xcc16ad0eb3fd12d6
)
