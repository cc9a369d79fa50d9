// Package schema compares the event types of two versions of a program, so that a change which the log
// would not survive is found by the build and not by a replay.
//
// Keep a dump of the registry beside the code, and compare it in a test:
//
//	//go:embed schema.json
//	var released []byte
//
//	func TestSchema(t *testing.T) {
//		old, err := schema.Parse(released)
//		…
//		for _, c := range schema.Check(old, schema.Of(types)) {
//			if c.Breaks {
//				t.Error(c)
//			}
//		}
//	}
//
// After a release write the new dump with Dump.AppendJSON. Dump.JSONSchema describes the same types for
// other languages.
//
// # What breaks
//
// A log keeps every payload as it was written. What breaks is a change after which such a payload
// is refused, or decoded as something else, though the type's version says that nothing
// changed:
//
//   - a type that is gone and neither renamed nor retired (event.Registry.Rename, Retire);
//   - a version lower than before, or one from which the upcasters do not lead all the way up;
//   - in the same version: a field with another type, one by place (as_array) that has moved, and any
//     change of a type that encodes itself, whose bytes nobody here can see;
//   - a kind that was command and is not, or the other way round: who answers it changes.
//
// A field that is added is zero in old events, and one that is removed is ignored in them: both are
// reported and break nothing, unless fields go by place. A renamed field is one removed and one added:
// nothing is refused, and what it held is lost, so read the report. Raising the version, with an
// upcaster, allows every change.
//
// Two things are out of reach: a field whose meaning changes under the same name and type, and upcasters
// that do the wrong thing. Test those on payloads of old events.
package schema
