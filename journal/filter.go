package journal

// typeSet is a set of record types, a bit for each.
type typeSet [1 << 16 / 64]uint64

func newTypeSet(types []uint16) *typeSet {
	s := new(typeSet)
	for _, t := range types {
		s[t>>6] |= 1 << (t & 63)
	}
	return s
}

func (s *typeSet) has(t uint16) bool { return s[t>>6]&(1<<(t&63)) != 0 }

// wants tells whether a record is to be delivered where the types of s are asked for. What is lost
// may have been of any of them: whoever filters must not miss the loss.
func (s *typeSet) wants(kind Kind, typ uint16) bool {
	switch kind {
	case KindEvent:
		return s.has(typ)
	case KindVoid:
		return false
	}
	return true
}

// pass tells whether a record is young enough and of a type that is asked for. Records of the
// journal itself have no type: Internal alone decides about them.
func (r *Reader) pass(kind Kind, typ uint16, time int64) bool {
	if time < r.from {
		return false
	}
	return r.types == nil || r.types.wants(kind, typ)
}
