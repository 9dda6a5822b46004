//! Parameters as a JSON schema, and as the `nip90Params` of NIP-89 announcements.

use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::declaration::ParamDeclaration;

/// The JSON schema of an object with these parameters.
///
/// ```
/// use openagents_sdk::__private::params_schema;
/// use openagents_sdk::declaration::ParamDeclaration;
///
/// let schema = params_schema(&[ParamDeclaration::new::<u8>("top_k")]);
/// assert_eq!(schema.get("required").unwrap()[0], "top_k");
/// assert_eq!(schema.pointer("/properties/top_k/maximum").unwrap(), 255);
/// ```
#[must_use]
pub fn params_schema<'a>(declarations: impl IntoIterator<Item = &'a ParamDeclaration>) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for declaration in declarations {
        properties.insert(declaration.name.to_owned(), Value::Object(property(declaration)));
        if declaration.required {
            required.push(declaration.name);
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.into()
}

/// The parameters as `nip90Params` of a handler announcement (NIP-89), in the form that nostrdvm introduced:
/// `{"language": {"required": true, "values": [], "description": "…"}}`.
///
/// ```
/// use openagents_sdk::__private::nip90_params;
/// use openagents_sdk::declaration::ParamDeclaration;
///
/// let params = nip90_params(&[ParamDeclaration::new::<String>("language")]);
/// assert_eq!(params["language"]["required"], true);
/// ```
#[must_use]
pub fn nip90_params<'a>(declarations: impl IntoIterator<Item = &'a ParamDeclaration>) -> Value {
    let param = |declaration: &ParamDeclaration| {
        let ParamDeclaration { required, choices, about, .. } = declaration;
        json!({ "required": required, "values": choices, "description": about })
    };
    let params = declarations.into_iter();
    Value::Object(params.map(|declaration| (declaration.name.to_owned(), param(declaration))).collect())
}

fn property(declaration: &ParamDeclaration) -> Map<String, Value> {
    let mut value = Map::new();
    value.insert("type".to_owned(), json!(declaration.value_type));
    if !declaration.choices.is_empty() {
        value.insert("enum".to_owned(), json!(declaration.choices));
    }
    if let Some(minimum) = declaration.minimum {
        value.insert("minimum".to_owned(), number(minimum));
    }
    if let Some(maximum) = declaration.maximum {
        value.insert("maximum".to_owned(), number(maximum));
    }
    let mut property = value;
    if declaration.several {
        property = Map::from_iter([
            ("type".to_owned(), json!("array")),
            ("items".to_owned(), Value::Object(property)),
        ]);
    }
    if !declaration.about.is_empty() {
        property.insert("description".to_owned(), json!(declaration.about));
    }
    if let Some(default) = declaration.default {
        property.insert("default".to_owned(), typed(declaration.value_type, default));
    }
    property
}

/// Writes whole numbers without the `.0` of a float.
fn number(number: f64) -> Value {
    typed("number", &number.to_string())
}

/// Parses the text as a JSON value of this type, or returns it as a string.
fn typed(value_type: &str, text: &str) -> Value {
    match value_type {
        "string" => json!(text),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::PublicKey;
    use serde_json::json;

    use super::{nip90_params, params_schema};
    use crate::declaration::ParamDeclaration;

    const DECLARATIONS: &[ParamDeclaration] = &[
        ParamDeclaration {
            about: "The longest answer.",
            required: false,
            default: Some("512"),
            minimum: Some(1.0),
            maximum: Some(4096.0),
            ..ParamDeclaration::new::<u32>("max_tokens")
        },
        ParamDeclaration { minimum: Some(-0.5), ..ParamDeclaration::new::<f64>("temperature") },
        ParamDeclaration {
            choices: &["fast", "good"],
            required: false,
            default: Some("1"),
            ..ParamDeclaration::new::<String>("model")
        },
        ParamDeclaration {
            several: true,
            required: false,
            about: "Whom to rank.",
            ..ParamDeclaration::new::<PublicKey>("target")
        },
        ParamDeclaration {
            required: false,
            default: Some("true"),
            ..ParamDeclaration::new::<bool>("stream")
        },
    ];

    #[test]
    fn describes_parameters_as_a_json_schema() {
        assert_eq!(
            params_schema(DECLARATIONS).to_value(),
            json!({
                "type": "object",
                "properties": {
                    "max_tokens": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 4096,
                        "description": "The longest answer.",
                        "default": 512
                    },
                    "temperature": { "type": "number", "minimum": -0.5 },
                    "model": { "type": "string", "enum": ["fast", "good"], "default": "1" },
                    "target": {
                        "type": "array",
                        "items": { "type": "string" },
                        "description": "Whom to rank."
                    },
                    "stream": { "type": "boolean", "default": true }
                },
                "required": ["temperature"]
            })
        );
        assert_eq!(params_schema(&[]).to_value(), json!({ "type": "object", "properties": {} }));
    }

    #[test]
    fn describes_parameters_as_nostrdvm_does() {
        let declarations = DECLARATIONS.iter().skip(1).take(2);
        assert_eq!(
            nip90_params(declarations),
            json!({
                "temperature": { "required": true, "values": [], "description": "" },
                "model": { "required": false, "values": ["fast", "good"], "description": "" }
            })
        );
    }
}
