//! The form of a job: a field for each input and parameter that its handler declares.

use super::html::Html;
use super::texts::{TEXTS, fill};
use crate::declaration::{InputDeclaration, JobDeclaration, ParamDeclaration};
use crate::manifest::offer::{Cost, Offer};

/// The field of an event's id.
const EVENT_ID: &str = r#"<input type="text" pattern="[0-9a-f]{64}" spellcheck="false""#;

/// Writes a job as an entry that opens: what it is, its form, and the place for its answers.
pub(super) fn job_entry(html: &mut Html, offer: &Offer, is_open: bool) {
    let job = &offer.job;
    let kind = job.kind.to_string();
    html.write(r#"<details class="job" name="job" id="kind-{}""#, [&kind]);
    html.write(if is_open { " open>" } else { ">" }, []);
    html.write(
        r#"<summary><span class="kind">{}</span><span class="name"><h3>{}</h3><span class="about">{}</span></span>"#,
        [&fill(TEXTS.kind, "kind", &kind), job.name, first_paragraph(job.about)],
    );
    html.write(r#"<span class="price">{}</span></summary><div class="body">"#, [&price(offer)]);
    job_form(html, job, &kind);
    html.write(r#"<section class="run" hidden></section></div></details>"#, []);
}

fn job_form(html: &mut Html, job: &JobDeclaration, kind: &str) {
    html.write(r#"<form data-name="{}" data-kind="{}">"#, [job.name, kind]);
    for (number, input) in job.inputs.iter().flatten().enumerate() {
        input_field(html, input, &format!("kind-{kind}-input-{number}"));
    }
    for param in job.params.iter().copied().flatten() {
        param_field(html, param, &format!("kind-{kind}-{}", param.name));
    }
    // The script enables the button: without it, nothing could sign the request.
    html.write(
        r#"<p class="send"><button type="submit" disabled>{}</button><span>{}</span></p></form>"#,
        [TEXTS.send, &fill(TEXTS.returns, "type", job.output)],
    );
}

/// The field of an `i` tag.
fn input_field(html: &mut Html, input: &InputDeclaration, id: &str) {
    let (label, element) = match input.input_type {
        "url" => (TEXTS.input_url, r#"<input type="url" inputmode="url" placeholder="https://""#),
        "event" => (TEXTS.input_event, EVENT_ID),
        "job" => (TEXTS.input_job, EVENT_ID),
        _ => (TEXTS.input_text, r#"<textarea rows="3""#),
    };
    html.write(r#"<div class="field"><label for="{}"><b>{}</b>"#, [id, label]);
    let types: Vec<&str> = input.mime_types.iter().copied().filter(|&mime_type| mime_type != "*/*").collect();
    note(html, &types.join(", "), input.required);
    html.write("</label>", []);
    html.write(element, []);
    html.write(r#" id="{}" data-input="{}" autocomplete="off""#, [id, input.input_type]);
    html.write(if input.required { " required>" } else { ">" }, []);
    html.write(if element.starts_with("<textarea") { "</textarea></div>" } else { "</div>" }, []);
}

/// The field of a `param` tag.
fn param_field(html: &mut Html, param: &ParamDeclaration, id: &str) {
    html.write(r#"<div class="field"><label for="{}"><b class="param">{}</b>"#, [id, param.name]);
    note(html, &value_type(param), param.required);
    html.write("</label>", []);
    let field = Field::of(param);
    html.write(
        match field {
            Field::Lines => r#"<textarea rows="3" data-several"#,
            Field::Choice => "<select",
            Field::Number => r#"<input type="number""#,
            Field::Line => r#"<input type="text""#,
        },
        [],
    );
    html.write(r#" id="{}" data-param="{}" autocomplete="off""#, [id, param.name]);
    let hint = hint(param);
    if !hint.is_empty() {
        html.write(r#" aria-describedby="{}-hint""#, [id]);
    }
    html.write(if param.required { " required" } else { "" }, []);
    match field {
        Field::Lines => html.write("></textarea>", []),
        Field::Choice => choices(html, param),
        Field::Number => bounds(html, param),
        Field::Line => html.write(">", []),
    }
    if !hint.is_empty() {
        html.write(r#"<p class="hint" id="{}-hint">{}</p>"#, [id, &hint]);
    }
    html.write("</div>", []);
}

/// How the value of a parameter is entered.
#[derive(Clone, Copy)]
enum Field {
    /// Several values, one on each line.
    Lines,
    /// One of a few values.
    Choice,
    /// A number.
    Number,
    /// A text.
    Line,
}

impl Field {
    fn of(param: &ParamDeclaration) -> Self {
        match param.value_type {
            _ if param.several => Self::Lines,
            "boolean" => Self::Choice,
            _ if !param.choices.is_empty() => Self::Choice,
            "integer" | "number" => Self::Number,
            _ => Self::Line,
        }
    }
}

/// What stands beside a label: the type, and whether the field may be empty.
fn note(html: &mut Html, value_type: &str, required: bool) {
    let optional = if required { "" } else { TEXTS.optional };
    let parts: Vec<&str> = [value_type, optional].into_iter().filter(|part| !part.is_empty()).collect();
    if !parts.is_empty() {
        html.write(" <small>{}</small>", [&parts.join(" · ")]);
    }
}

fn hint(param: &ParamDeclaration) -> String {
    let default = param.default.map(|value| fill(TEXTS.default_value, "value", value)).unwrap_or_default();
    let several = if param.several { TEXTS.one_each_line } else { "" };
    let parts = [first_paragraph(param.about), &default, several];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn choices(html: &mut Html, param: &ParamDeclaration) {
    html.write(r#"><option value="">{}</option>"#, [param.default.unwrap_or(TEXTS.unset)]);
    let choices: Vec<(&str, &str)> = match param.choices {
        [] => vec![("true", TEXTS.yes), ("false", TEXTS.no)],
        choices => choices.iter().map(|&choice| (choice, choice)).collect(),
    };
    for (value, label) in choices.into_iter().filter(|(value, _)| param.default != Some(value)) {
        html.write(r#"<option value="{}">{}</option>"#, [value, label]);
    }
    html.write("</select>", []);
}

fn bounds(html: &mut Html, param: &ParamDeclaration) {
    let finite = |bound: Option<f64>| bound.filter(|bound| bound.is_finite());
    if let Some(minimum) = finite(param.minimum) {
        html.write(r#" min="{}""#, [&minimum.to_string()]);
    }
    if let Some(maximum) = finite(param.maximum) {
        html.write(r#" max="{}""#, [&maximum.to_string()]);
    }
    html.write(if param.value_type == "number" { r#" step="any">"# } else { ">" }, []);
}

fn value_type(param: &ParamDeclaration) -> String {
    let bounds = match (param.minimum, param.maximum) {
        (Some(minimum), Some(maximum)) => format!(" {minimum}–{maximum}"),
        (Some(minimum), None) => format!(" ≥ {minimum}"),
        (None, Some(maximum)) => format!(" ≤ {maximum}"),
        (None, None) => String::new(),
    };
    format!("{}{bounds}", param.value_type)
}

fn price(offer: &Offer) -> String {
    match offer.cost() {
        Cost::Free => TEXTS.free.to_owned(),
        Cost::Varies => TEXTS.price_varies.to_owned(),
        Cost::Fixed(price) => fill(TEXTS.price_fixed, "amount", &satoshis(price.as_msat())),
    }
}

/// Millisatoshis in satoshis: `21`, `0.5`.
fn satoshis(msat: u64) -> String {
    let (whole, thousandths) = (msat / 1_000, msat % 1_000);
    let text = format!("{whole}.{thousandths:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn first_paragraph(about: &str) -> &str {
    about.split("\n\n").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{job_entry, satoshis};
    use crate::declaration::{InputDeclaration, JobDeclaration, ParamDeclaration};
    use crate::http::page::html::Html;
    use crate::manifest::offer::Offer;

    const PARAM: ParamDeclaration = ParamDeclaration {
        name: "length",
        aliases: &[],
        about: "The number of sentences.",
        value_type: "integer",
        required: false,
        several: false,
        default: Some("3"),
        choices: &[],
        minimum: Some(1.0),
        maximum: Some(100.0),
    };

    fn written(job: JobDeclaration) -> String {
        let mut html = Html::default();
        job_entry(&mut html, &Offer { job, quoted: false }, true);
        html.into_string()
    }

    #[test]
    fn has_a_field_for_every_input_and_parameter() {
        const INPUTS: &[Option<InputDeclaration>] = &[
            Some(InputDeclaration {
                input_type: "text",
                mime_types: &["text/plain"],
                required: true,
                is_uploadable: false,
            }),
            None,
            Some(InputDeclaration {
                input_type: "url",
                mime_types: &["*/*"],
                required: false,
                is_uploadable: false,
            }),
        ];
        const LANGUAGE: ParamDeclaration = ParamDeclaration {
            name: "language",
            value_type: "string",
            required: true,
            default: None,
            choices: &["en", "de"],
            minimum: None,
            maximum: None,
            ..PARAM
        };
        let html = written(JobDeclaration {
            inputs: INPUTS,
            params: &[&[PARAM, LANGUAGE]],
            ..JobDeclaration::new(5001, "summarise")
        });
        for part in [
            "<textarea rows=\"3\" id=\"kind-5001-input-0\" data-input=\"text\" autocomplete=\"off\" required></textarea>",
            "id=\"kind-5001-input-1\" data-input=\"url\" autocomplete=\"off\">",
            "data-param=\"length\" autocomplete=\"off\" aria-describedby=\"kind-5001-length-hint\" min=\"1\" max=\"100\">",
            "The number of sentences. Without a value: 3.",
            "<select id=\"kind-5001-language\" data-param=\"language\"",
            "<option value=\"de\">de</option>",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn what_an_author_writes_is_text() {
        const PARAMS: &[ParamDeclaration] =
            &[ParamDeclaration { name: "\"><script>", about: "<b>", default: Some("<i>"), ..PARAM }];
        let job = JobDeclaration {
            about: "<img src=x onerror=alert(1)>",
            params: &[PARAMS],
            ..JobDeclaration::new(5001, "<u>")
        };
        let html = written(job);
        for markup in ["<img", "<script", "<b>", "<i>", "<u>"] {
            let found = html.replace("<b class=\"param\">", "").contains(markup);
            assert!(!found, "{markup} in {html}");
        }
    }

    #[test]
    fn a_price_has_as_many_digits_as_it_needs() {
        assert_eq!([0, 500, 1_000, 21_000, 1_234_567].map(satoshis), ["0", "0.5", "1", "21", "1234.567"]);
    }
}
