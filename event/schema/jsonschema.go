package schema

import (
	"encoding/json"
	"math"
)

// JSONSchema describes the types for other languages: JSON Schema, draft 2020-12, one definition a
// type under "$defs" by its name, of the payload in the JSON form that event.AppendJSON gives to
// a value that has no methods of its own for JSON and no json tags: fields by their msgpack names.
// Types that encode themselves are described as anything.
func (d Dump) JSONSchema() ([]byte, error) {
	defs := map[string]any{}
	for _, t := range d.Types {
		s := jsonSchema(t.Shape)
		s["title"] = t.Name
		s["x-version"] = t.Version
		s["x-kind"] = t.Kind
		s["x-fingerprint"] = t.Fingerprint
		defs[t.Name] = s
	}
	text, err := json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$defs":   defs,
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

func jsonSchema(s Shape) map[string]any {
	m := map[string]any{}
	kind := func(name string) {
		m["type"] = name
		if s.Optional {
			m["type"] = []string{name, "null"}
		}
	}
	switch s.Kind {
	case "bool":
		kind("boolean")
	case "int":
		kind("integer")
		m["minimum"], m["maximum"] = int64(math.MinInt64)>>(64-s.Bits), int64(math.MaxInt64)>>(64-s.Bits)
	case "uint":
		kind("integer")
		m["minimum"], m["maximum"] = 0, uint64(math.MaxUint64)>>(64-s.Bits)
	case "float":
		kind("number")
	case "string":
		kind("string")
	case "bytes":
		if s.Length > 0 { // encoding/json writes an array of bytes as numbers
			kind("array")
			m["minItems"], m["maxItems"] = s.Length, s.Length
			m["items"] = map[string]any{"type": "integer", "minimum": 0, "maximum": 255}
			break
		}
		m["type"] = []string{"string", "null"}
		m["contentEncoding"] = "base64"
	case "time":
		kind("string")
		m["format"] = "date-time"
	case "array":
		kind("array")
		if s.Length > 0 {
			m["minItems"], m["maxItems"] = s.Length, s.Length
		} else {
			m["type"] = []string{"array", "null"}
		}
		m["items"] = jsonSchema(*s.Elem)
	case "map":
		m["type"] = []string{"object", "null"}
		m["additionalProperties"] = jsonSchema(*s.Elem)
	case "struct", "tuple":
		kind("object")
		properties := map[string]any{}
		for _, f := range s.Fields {
			properties[f.Name] = jsonSchema(f.Shape)
		}
		m["properties"] = properties
	case "own", "ref":
		m["description"] = s.Go
	}
	return m
}
