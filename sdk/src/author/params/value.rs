//! `ParamValue`: the types that a parameter can have.

use openagents_host::nostr::keys::parse_public_key;
use openagents_host::{EventId, PublicKey, Timestamp};

/// The type of a field in a [`JobParams`](crate::JobParams) struct, read from one value of a `param` tag.
///
/// Strings, numbers, `bool`, keys, event ids and timestamps are such types; `#[derive(ParamChoice)]` makes an enum
/// one. To use a type of your own:
///
/// ```
/// use openagents_sdk::ParamValue;
///
/// /// The size of a picture, `1024x768`.
/// struct Size {
///     width: u32,
///     height: u32,
/// }
///
/// impl ParamValue for Size {
///     const TYPE: &'static str = "string";
///     const EXPECTED: &'static str = "a width and a height";
///     const EXAMPLE: &'static str = "1024x768";
///
///     fn from_param(text: &str) -> Option<Self> {
///         let (width, height) = text.split_once('x')?;
///         Some(Self { width: width.parse().ok()?, height: height.parse().ok()? })
///     }
/// }
/// # let size = Size::from_param("1024x768").unwrap();
/// # assert_eq!((size.width, size.height), (1024, 768));
/// # assert!(Size::from_param("big").is_none());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a parameter",
    label = "not a `ParamValue`",
    note = "parameters are `String`, whole and floating-point numbers, `bool`, `PublicKey`, `EventId` or `Timestamp`, and `Option` or `Vec` of these",
    note = "derive `ParamChoice` for an enum, or implement `ParamValue` for any other type"
)]
pub trait ParamValue: Sized {
    /// Its JSON schema type: `string`, `integer`, `number` or `boolean`.
    const TYPE: &'static str;

    /// Describes a valid value, to complete "the parameter `x` must be …": `a whole number`.
    const EXPECTED: &'static str;

    /// A valid value, for error messages.
    const EXAMPLE: &'static str;

    /// A description, for parameters without a doc comment.
    const ABOUT: &'static str = "";

    /// The accepted values; any if empty.
    const CHOICES: &'static [&'static str] = &[];

    /// The smallest value of the type, if it is a number with a useful limit.
    const MINIMUM: Option<f64> = None;

    /// The largest value of the type, if it is a number with a useful limit.
    const MAXIMUM: Option<f64> = None;

    /// Parses a value; `None` if the text is invalid.
    fn from_param(text: &str) -> Option<Self>;

    /// The value as a number, to be compared with the parameter's minimum and maximum.
    fn as_number(&self) -> Option<f64> {
        None
    }
}

impl ParamValue for String {
    const TYPE: &'static str = "string";
    const EXPECTED: &'static str = "text";
    const EXAMPLE: &'static str = "<text>";

    fn from_param(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl ParamValue for bool {
    const TYPE: &'static str = "boolean";
    const EXPECTED: &'static str = "`true` or `false`";
    const EXAMPLE: &'static str = "true";

    /// Also accepts `1` and `0`, `yes` and `no`, in upper or lower case.
    fn from_param(text: &str) -> Option<Self> {
        let is_one_of = |words: [&str; 3]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
        is_one_of(["true", "1", "yes"]).then_some(true).or(is_one_of(["false", "0", "no"]).then_some(false))
    }
}

/// A number, so that a parameter of this type can have a `min` and a `max`.
#[diagnostic::on_unimplemented(
    message = "`min` and `max` are for numbers, and `{Self}` is not a number",
    label = "not a number"
)]
pub trait ParamNumber: ParamValue {}

macro_rules! whole_numbers {
    ($($type:ident: $minimum:expr, $maximum:expr;)*) => {
        $(
            impl ParamValue for $type {
                const TYPE: &'static str = "integer";
                const EXPECTED: &'static str = "a whole number";
                const EXAMPLE: &'static str = "1";
                const MINIMUM: Option<f64> = $minimum;
                const MAXIMUM: Option<f64> = $maximum;

                fn from_param(text: &str) -> Option<Self> {
                    text.trim().parse().ok()
                }

                fn as_number(&self) -> Option<f64> {
                    // Inexact beyond ±2^53, but `min` and `max` lie within, so comparisons stay right.
                    Some(*self as f64)
                }
            }

            impl ParamNumber for $type {}
        )*
    };
}

// 64-bit types declare no limits: those would tell a customer nothing useful.
whole_numbers! {
    u8: Some(0.0), Some(u8::MAX as f64);
    u16: Some(0.0), Some(u16::MAX as f64);
    u32: Some(0.0), Some(u32::MAX as f64);
    u64: Some(0.0), None;
    u128: Some(0.0), None;
    usize: Some(0.0), None;
    i8: Some(i8::MIN as f64), Some(i8::MAX as f64);
    i16: Some(i16::MIN as f64), Some(i16::MAX as f64);
    i32: Some(i32::MIN as f64), Some(i32::MAX as f64);
    i64: None, None;
    i128: None, None;
    isize: None, None;
}

macro_rules! floating_point_numbers {
    ($($type:ident)*) => {
        $(
            impl ParamValue for $type {
                const TYPE: &'static str = "number";
                const EXPECTED: &'static str = "a number";
                const EXAMPLE: &'static str = "0.5";

                /// Rejects infinity and NaN.
                fn from_param(text: &str) -> Option<Self> {
                    text.trim().parse().ok().filter(|number: &Self| number.is_finite())
                }

                fn as_number(&self) -> Option<f64> {
                    Some(f64::from(*self))
                }
            }

            impl ParamNumber for $type {}
        )*
    };
}

floating_point_numbers!(f32 f64);

impl ParamValue for PublicKey {
    const TYPE: &'static str = "string";
    const EXPECTED: &'static str = "a public key, as npub1… or 64 hex characters";
    const EXAMPLE: &'static str = "<npub1…>";

    fn from_param(text: &str) -> Option<Self> {
        parse_public_key(text).ok()
    }
}

impl ParamValue for EventId {
    const TYPE: &'static str = "string";
    const EXPECTED: &'static str = "an event id, as 64 lowercase hex characters";
    const EXAMPLE: &'static str = "<64 hex characters>";

    fn from_param(text: &str) -> Option<Self> {
        Self::from_hex(text.trim()).ok()
    }
}

impl ParamValue for Timestamp {
    const TYPE: &'static str = "integer";
    const EXPECTED: &'static str = "a time in seconds since 1970";
    const EXAMPLE: &'static str = "1700000000";

    fn from_param(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Self::from_seconds)
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::Keys;
    use openagents_host::nostr::keys::npub;
    use proptest::prelude::*;

    use super::{EventId, ParamValue, PublicKey, Timestamp};

    #[test]
    fn reads_truth_in_the_words_of_many_clients() {
        for text in ["true", "1", "yes", "True", " YES "] {
            assert_eq!(bool::from_param(text), Some(true), "{text:?}");
        }
        for text in ["false", "0", "no", "FALSE"] {
            assert_eq!(bool::from_param(text), Some(false), "{text:?}");
        }
        for text in ["", "2", "on", "truefalse"] {
            assert_eq!(bool::from_param(text), None, "{text:?}");
        }
    }

    #[test]
    fn reads_numbers_that_the_type_can_hold() {
        assert_eq!(u8::from_param(" 255 "), Some(255));
        for text in ["", "256", "-1", "1.5", "0x10", "١"] {
            assert_eq!(u8::from_param(text), None, "{text:?}");
        }
        assert_eq!(f32::from_param("0.5"), Some(0.5));
        for text in ["", "inf", "-inf", "NaN", "1e39", "0,5"] {
            assert_eq!(f32::from_param(text), None, "{text:?}");
        }
    }

    #[test]
    fn reads_keys_in_both_of_their_forms() {
        let key = Keys::generate().unwrap().public_key();
        assert_eq!(PublicKey::from_param(&key.to_hex()), Some(key));
        assert_eq!(PublicKey::from_param(&npub(&key)), Some(key));
        assert_eq!(PublicKey::from_param("npub1"), None);
        let id = EventId::from_bytes([7; 32]);
        assert_eq!(EventId::from_param(&id.to_hex()), Some(id));
        assert_eq!(EventId::from_param("07"), None);
    }

    #[test]
    fn reads_times_as_seconds() {
        assert_eq!(Timestamp::from_param("1700000000"), Some(Timestamp::from_seconds(1_700_000_000)));
        assert_eq!(Timestamp::from_param("yesterday"), None);
    }

    proptest! {
        #[test]
        fn reads_back_every_whole_number(number: i64) {
            prop_assert_eq!(i64::from_param(&number.to_string()), Some(number));
        }

        #[test]
        fn takes_any_text_without_a_panic(text in "\\PC*") {
            let _ = (bool::from_param(&text), u16::from_param(&text), f64::from_param(&text));
            let _ = (PublicKey::from_param(&text), EventId::from_param(&text), Timestamp::from_param(&text));
            prop_assert_eq!(String::from_param(&text), Some(text));
        }
    }
}
