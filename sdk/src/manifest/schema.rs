//! Parameters as a JSON schema (draft 2020-12).

use serde_json::{Map, Value, json};

use crate::declaration::ParamDeclaration;

/// The JSON schema of a handler's parameters: an object with one property for each.
///
/// The manifest converts parameters nowhere else.
pub(super) fn params_schema(params: impl IntoIterator<Item = &'static ParamDeclaration>) -> Value {
    let mut properties = Map::new();
    let mut required: Vec<&str> = Vec::new();
    for param in params {
        properties.insert(param.name.to_owned(), property(param));
        if param.required && !required.contains(&param.name) {
            required.push(param.name);
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    Value::Object(schema)
}

fn property(param: &ParamDeclaration) -> Value {
    let mut value = Map::new();
    value.insert("type".to_owned(), json!(param.value_type));
    if !param.choices.is_empty() {
        let choices = param.choices.iter().map(|choice| typed(param.value_type, choice));
        value.insert("enum".to_owned(), choices.collect());
    }
    for (bound, number) in [("minimum", param.minimum), ("maximum", param.maximum)] {
        if let Some(number) = number.and_then(|number| finite(param.value_type, number)) {
            value.insert(bound.to_owned(), number);
        }
    }
    let mut property = if param.several {
        let mut list = Map::new();
        list.insert("type".to_owned(), json!("array"));
        list.insert("items".to_owned(), Value::Object(value));
        list
    } else {
        value
    };
    if !param.about.is_empty() {
        property.insert("description".to_owned(), json!(param.about));
    }
    if let Some(default) = param.default {
        let default = typed(param.value_type, default);
        property.insert("default".to_owned(), if param.several { json!([default]) } else { default });
    }
    Value::Object(property)
}

/// A value given as text, as JSON of this type; as a string if it is not of this type.
fn typed(value_type: &str, text: &str) -> Value {
    let value = match value_type {
        "integer" => text.parse::<i64>().ok().map(Value::from),
        "number" => text.parse::<f64>().ok().and_then(|number| finite(value_type, number)),
        "boolean" => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    value.unwrap_or_else(|| Value::from(text))
}

/// A number as JSON, integers without a decimal point. `None` if JSON cannot represent it.
fn finite(value_type: &str, number: f64) -> Option<Value> {
    if value_type == "integer" {
        // `f64` writes whole numbers without a point, and not in the exponential form.
        if let Ok(integer) = format!("{number}").parse::<i64>() {
            return Some(Value::from(integer));
        }
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::params_schema;
    use crate::declaration::ParamDeclaration;

    const PLAIN: ParamDeclaration = ParamDeclaration {
        name: "prompt",
        aliases: &[],
        about: "",
        value_type: "string",
        required: true,
        several: false,
        default: None,
        choices: &[],
        minimum: None,
        maximum: None,
    };

    #[test]
    fn describes_every_property_of_a_parameter() {
        const PARAMS: &[ParamDeclaration] = &[
            PLAIN,
            ParamDeclaration {
                name: "top_k",
                about: "How many tokens to choose from.",
                value_type: "integer",
                required: false,
                default: Some("40"),
                minimum: Some(1.0),
                maximum: Some(100.0),
                ..PLAIN
            },
            ParamDeclaration {
                name: "languages",
                required: false,
                several: true,
                choices: &["en", "de"],
                ..PLAIN
            },
        ];
        assert_eq!(
            params_schema(PARAMS),
            json!({
                "type": "object",
                "properties": {
                    "prompt": { "type": "string" },
                    "top_k": {
                        "type": "integer", "minimum": 1, "maximum": 100, "default": 40,
                        "description": "How many tokens to choose from.",
                    },
                    "languages": { "type": "array", "items": { "type": "string", "enum": ["en", "de"] } },
                },
                "required": ["prompt"],
            })
        );
    }

    #[test]
    fn leaves_out_bounds_that_json_cannot_write() {
        const PARAMS: &[ParamDeclaration] = &[ParamDeclaration {
            value_type: "number",
            minimum: Some(f64::NEG_INFINITY),
            maximum: Some(0.5),
            ..PLAIN
        }];
        assert_eq!(
            params_schema(PARAMS)["properties"]["prompt"],
            json!({ "type": "number", "maximum": 0.5 })
        );
    }
}
