//! Optimizers as text: `sgd`, `sgd:momentum=0.9`, `sam:rho_over_alpha=0.1,momentum=0.9`.

use std::fmt;
use std::str::FromStr;

use super::{MAX_PARAMETERS, Optimizer, Parameter, RULES, Rule};

/// Why a text is no optimizer.
///
/// # Examples
/// ```
/// use linstab_dynamics::Optimizer;
/// let error = |text: &str| text.parse::<Optimizer>().unwrap_err().to_string();
/// assert_eq!(error("sdg"), "unknown optimizer `sdg`, did you mean `sgd`? (allowed: sgd, sam, usam, random-perturbation, sgdw, ema, qhm, adam, adamw, rmsprop)");
/// assert_eq!(error("sgd:momentun=0.9"), "`sgd` has no `momentun`, did you mean `momentum`? (allowed: momentum, dampening, nesterov, weight_decay)");
/// assert_eq!(error("sgd:nesterov=true"), "nesterov of `sgd` is true, allowed: with momentum above 0 and without dampening");
/// assert_eq!(error("sgd:momentum=2"), "momentum of `sgd` is 2, allowed: above -1 and below 1");
/// assert_eq!(error("sam"), "`sam` needs rho_over_alpha: nonnegative and finite");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecificationError {
    /// No rule has this name.
    #[error("unknown optimizer `{name}`, did you mean `{nearest}`? (allowed: {allowed})")]
    UnknownRule {
        /// The name that was given.
        name: String,
        /// The known name that is most like it.
        nearest: &'static str,
        /// The known names.
        allowed: String,
    },
    /// The rule has no such parameter.
    #[error("`{rule}` has no `{key}`, did you mean `{nearest}`? (allowed: {allowed})")]
    UnknownParameter {
        /// The rule.
        rule: &'static str,
        /// The key that was given.
        key: String,
        /// The parameter whose name is most like it.
        nearest: &'static str,
        /// The names of the rule's parameters.
        allowed: String,
    },
    /// A value is not admissible.
    #[error("{parameter} of `{rule}` is {value}, allowed: {allowed}")]
    Value {
        /// The rule.
        rule: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Its value, as it was given.
        value: String,
        /// The admissible values.
        allowed: &'static str,
    },
    /// A parameter without a default is missing.
    #[error("`{rule}` needs {parameter}: {allowed}")]
    Missing {
        /// The rule.
        rule: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// The admissible values.
        allowed: &'static str,
    },
    /// A parameter is given twice.
    #[error("{parameter} of `{rule}` is given twice")]
    Repeated {
        /// The rule.
        rule: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
}

impl FromStr for Optimizer {
    type Err = SpecificationError;

    fn from_str(text: &str) -> Result<Self, SpecificationError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let rule = RULES.iter().find(|rule| rule.name == name.trim()).ok_or_else(|| {
            let names = RULES.iter().map(|rule| rule.name);
            let (nearest, allowed) = nearest(name.trim(), names);
            SpecificationError::UnknownRule { name: name.trim().to_owned(), nearest, allowed }
        })?;
        let mut given = [None; MAX_PARAMETERS];
        for pair in rest.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (place, parameter) = parameter(rule, key.trim())?;
            if given[place].is_some() {
                return Err(SpecificationError::Repeated { rule: rule.name, parameter: parameter.name });
            }
            given[place] = Some(number(rule, parameter, value.trim())?);
        }
        let mut values = [0.0; MAX_PARAMETERS];
        for ((parameter, given), value) in rule.parameters.iter().zip(given).zip(&mut values) {
            let Parameter { name, allowed, .. } = *parameter;
            let missing = SpecificationError::Missing { rule: rule.name, parameter: name, allowed };
            *value = given.or(parameter.default).ok_or(missing)?;
        }
        let optimizer = Self { rule, values };
        (rule.check)(optimizer).map_err(|(parameter, allowed)| SpecificationError::Value {
            rule: rule.name,
            parameter: parameter.name,
            value: parameter.text(optimizer.value(parameter)),
            allowed,
        })?;
        Ok(optimizer)
    }
}

fn parameter(rule: &Rule, key: &str) -> Result<(usize, &'static Parameter), SpecificationError> {
    let found = rule.parameters.iter().enumerate().find(|(_, parameter)| parameter.name == key);
    found.ok_or_else(|| {
        let (nearest, allowed) = nearest(key, rule.parameters.iter().map(|parameter| parameter.name));
        SpecificationError::UnknownParameter { rule: rule.name, key: key.to_owned(), nearest, allowed }
    })
}

fn number(rule: &Rule, parameter: &Parameter, text: &str) -> Result<f64, SpecificationError> {
    parameter.parse(text).ok_or_else(|| SpecificationError::Value {
        rule: rule.name,
        parameter: parameter.name,
        value: if text.is_empty() { "missing".to_owned() } else { text.to_owned() },
        allowed: parameter.allowed,
    })
}

/// The name that is most like the given one, and all names.
fn nearest(given: &str, names: impl Iterator<Item = &'static str> + Clone) -> (&'static str, String) {
    let allowed = names.clone().collect::<Vec<_>>().join(", ");
    (names.min_by_key(|name| distance(given, name)).unwrap_or_default(), allowed)
}

/// Number of letters to insert, remove or replace (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

impl fmt::Display for Optimizer {
    /// The shortest specification that is read as this optimizer: parameters at their defaults are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule.name)?;
        let told = self.parameters().filter(|(parameter, value)| {
            parameter.default.is_none_or(|default| default.to_bits() != value.to_bits())
        });
        for (place, (parameter, value)) in told.enumerate() {
            let separator = if place == 0 { ':' } else { ',' };
            write!(f, "{separator}{}={}", parameter.name, parameter.text(value))?;
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Optimizer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Optimizer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_read_as_it_is_written() {
        for rule in RULES {
            let some = |parameter: &Parameter| format!("{}=0.25", parameter.name);
            let numbers = rule.parameters.iter().filter(|parameter| parameter.parse("0.25").is_some());
            let all: Vec<String> = numbers.map(some).collect();
            let needed: Vec<String> =
                rule.parameters.iter().filter(|parameter| parameter.default.is_none()).map(some).collect();
            for given in [all, needed] {
                let text = format!("{}:{}", rule.name, given.join(","));
                let optimizer: Optimizer = text.parse().unwrap();
                assert_eq!(optimizer.to_string(), text.trim_end_matches(':'));
                assert_eq!(optimizer.to_string().parse(), Ok(optimizer));
            }
            for parameter in rule.parameters {
                assert!(
                    parameter.default.is_none_or(parameter.admits),
                    "{} of {}",
                    parameter.name,
                    rule.name
                );
                assert!(!(parameter.admits)(f64::NAN), "{} of {}", parameter.name, rule.name);
            }
            assert!(rule.parameters.len() <= MAX_PARAMETERS, "{}", rule.name);
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let error = |text: &str| text.parse::<Optimizer>().unwrap_err();
        assert!(matches!(error(""), SpecificationError::UnknownRule { .. }));
        assert!(matches!(error("sgd:=1"), SpecificationError::UnknownParameter { nearest: "momentum", .. }));
        for text in ["sgd:momentum", "sgd:momentum=", "sgd:momentum=nan", "sgd:momentum=1", "sgd:momentum=x"]
        {
            assert!(matches!(error(text), SpecificationError::Value { .. }), "{text}");
        }
        for text in [
            "sgd:nesterov=true",
            "sgd:momentum=0.9,dampening=0.1,nesterov=true",
            "sam:rho_over_alpha=1,micro_batch_size=2",
            "sgd:nesterov=1",
        ] {
            assert!(matches!(error(text), SpecificationError::Value { .. }), "{text}");
        }
        let written = "sam:rho_over_alpha=0.5,ascent=batch,micro_batch_size=4,momentum=0.9,nesterov=true";
        assert_eq!(written.parse::<Optimizer>().unwrap().to_string(), written);
        assert!(matches!(error("sgd:momentum=0,momentum=0"), SpecificationError::Repeated { .. }));
        assert!(matches!(error("sam:momentum=0.5"), SpecificationError::Missing { .. }));
        assert_eq!(" sam : rho_over_alpha = 1 , ".parse(), Ok(Optimizer::sam(1.0).unwrap()));
    }

    #[test]
    fn distances_by_hand() {
        assert_eq!([distance("", "ab"), distance("kitten", "sitting"), distance("sdg", "sgd")], [2, 3, 2]);
    }
}
