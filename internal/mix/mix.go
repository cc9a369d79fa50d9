// Package mix spreads bits, for numbers that are to look as if they came by chance, and for weights by which a key
// chooses among many (highest random weight, "rendezvous hashing": Thaler and Ravishankar, 1998).
package mix

// Uint64 is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
// 2014). Different numbers stay different.
func Uint64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Weight is what a member weighs for a key: a key belongs to the member of the highest weight, so that one who comes
// or goes moves no keys but those that it takes or leaves.
func Weight(key, member uint64) uint64 { return Uint64(key ^ Uint64(member)) }
