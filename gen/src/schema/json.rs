//! The JSON Schema, by which editors complete and check a topology file.

use serde_json::{Map, Value, json};

use super::{Key, Kind, Shape, TOPOLOGY};

/// The JSON Schema (draft 7, which editors of TOML know) of a topology file.
pub fn json_schema() -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".into(), json!("Fairway topology"));
    schema.append(&mut table(&TOPOLOGY));
    let below: Map<String, Value> = TOPOLOGY.all()[1..]
        .iter()
        .map(|shape| (shape.name.to_owned(), Value::Object(table(shape))))
        .collect();
    schema.insert("definitions".into(), below.into());
    schema.into()
}

fn table(shape: &Shape) -> Map<String, Value> {
    let properties: Map<String, Value> =
        shape.keys.iter().map(|key| (key.name.to_owned(), property(key).into())).collect();
    let required: Vec<&str> = shape.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut table = Map::new();
    table.insert("description".into(), json!(shape.doc));
    table.insert("type".into(), json!("object"));
    table.insert("properties".into(), properties.into());
    table.insert("required".into(), json!(required));
    table.insert("additionalProperties".into(), json!(false));
    table
}

fn property(key: &Key) -> Map<String, Value> {
    let mut property = Map::new();
    property.insert("description".into(), json!(key.doc));
    if let Some(default) = key.default_json() {
        property.insert("default".into(), default);
    }
    match key.kind {
        // Draft 7 ignores what stands beside a reference.
        Kind::Table(_) => _ = property.insert("allOf".into(), json!([kind(&key.kind)])),
        _ => property.append(&mut kind(&key.kind)),
    }
    property
}

fn kind(what: &Kind) -> Map<String, Value> {
    let value = match what {
        Kind::Text(text) if text.pattern.is_empty() => {
            json!({ "type": "string", "examples": text.examples })
        }
        Kind::Text(text) => {
            json!({ "type": "string", "pattern": text.pattern, "examples": text.examples })
        }
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Table(shape) => json!({ "$ref": format!("#/definitions/{}", shape.name) }),
        Kind::Named(name, least, each) => json!({
            "type": "object",
            "minProperties": least,
            "propertyNames": { "pattern": name.pattern },
            "additionalProperties": kind(each),
        }),
        Kind::List(each) => json!({ "type": "array", "minItems": 1, "items": kind(each) }),
        Kind::Any(kinds) => json!({ "anyOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
    };
    match value {
        Value::Object(map) => map,
        _ => unreachable!("every arm is an object"),
    }
}
