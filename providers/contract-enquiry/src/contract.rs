//! The contract in the service's message, and as it is in a record. Amounts stay decimal text from one to the other: a
//! number in JSON would be read as a binary fraction. All elements have the namespace of the contract.

use damper_sdk::Failure;
use damper_sdk::xml::Element;
use serde::Serialize;

/// A contract, as the record holds it. Parts that the service leaves out are absent.
#[derive(Debug, Serialize)]
pub(crate) struct Contract {
    pub(crate) policy_number: String,
    product: Coded,
    pub(crate) status: String,
    start_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    maturity_date: Option<String>,
    parties: Vec<Party>,
    valuations: Vec<Valuation>,
    benefits: Vec<Benefit>,
    contributions: Vec<Contribution>,
    holdings: Vec<Holding>,
}

/// Something that the service has a code for, with its name.
#[derive(Debug, Serialize)]
struct Coded {
    code: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct Money {
    amount: String,
    currency: String,
}

/// A person or firm with a part in the contract.
#[derive(Debug, Serialize)]
struct Party {
    role: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_of_birth: Option<String>,
}

/// The contract's worth: as a transfer, a surrender, a fund.
#[derive(Debug, Serialize)]
struct Valuation {
    kind: String,
    date: String,
    #[serde(flatten)]
    value: Money,
}

/// A benefit of the contract, and the event that it is paid on.
#[derive(Debug, Serialize)]
struct Benefit {
    event: String,
    #[serde(flatten)]
    value: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    payable_from: Option<String>,
}

/// A contribution that is paid in.
#[derive(Debug, Serialize)]
struct Contribution {
    payer: String,
    frequency: String,
    #[serde(flatten)]
    value: Money,
}

/// Units of a fund.
#[derive(Debug, Serialize)]
struct Holding {
    fund: Coded,
    units: String,
    price: Money,
}

impl Contract {
    /// Reads the service's `Contract` element.
    pub(crate) fn read(element: &Element) -> Result<Self, Failure> {
        Ok(Contract {
            policy_number: read_text(element, "PolicyNumber")?,
            product: read_coded(element.required(element.namespace(), "Product")?)?,
            status: read_text(element, "Status")?,
            start_date: read_date(element, "StartDate")?,
            maturity_date: read_optional_date(element, "MaturityDate")?,
            parties: read_list(element, "Parties", "Party", Party::read)?,
            valuations: read_list(element, "Valuations", "Valuation", Valuation::read)?,
            benefits: read_list(element, "Benefits", "Benefit", Benefit::read)?,
            contributions: read_list(element, "Contributions", "Contribution", Contribution::read)?,
            holdings: read_list(element, "Holdings", "Holding", Holding::read)?,
        })
    }
}

impl Party {
    fn read(element: &Element) -> Result<Self, Failure> {
        Ok(Party {
            role: read_attribute(element, "role")?,
            name: read_text(element, "Name")?,
            date_of_birth: read_optional_date(element, "DateOfBirth")?,
        })
    }
}

impl Valuation {
    fn read(element: &Element) -> Result<Self, Failure> {
        Ok(Valuation {
            kind: read_attribute(element, "kind")?,
            date: read_date(element, "Date")?,
            value: read_money(element.required(element.namespace(), "Amount")?)?,
        })
    }
}

impl Benefit {
    fn read(element: &Element) -> Result<Self, Failure> {
        Ok(Benefit {
            event: read_attribute(element, "event")?,
            value: read_money(element.required(element.namespace(), "Amount")?)?,
            payable_from: read_optional_date(element, "PayableFrom")?,
        })
    }
}

impl Contribution {
    fn read(element: &Element) -> Result<Self, Failure> {
        Ok(Contribution {
            payer: read_attribute(element, "payer")?,
            frequency: read_attribute(element, "frequency")?,
            value: read_money(element.required(element.namespace(), "Amount")?)?,
        })
    }
}

impl Holding {
    fn read(element: &Element) -> Result<Self, Failure> {
        Ok(Holding {
            fund: read_coded(element.required(element.namespace(), "Fund")?)?,
            units: read_decimal(element.required(element.namespace(), "Units")?)?,
            price: read_money(element.required(element.namespace(), "Price")?)?,
        })
    }
}

/// The list in an element of its own; empty if the service leaves the element out.
fn read_list<T>(
    element: &Element,
    around: &str,
    name: &str,
    read: impl Fn(&Element) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let namespace = element.namespace();
    let list = element.child(namespace, around).into_iter();
    list.flat_map(|list| list.children_named(namespace, name)).map(read).collect()
}

fn read_text(element: &Element, name: &str) -> Result<String, Failure> {
    match element.required(element.namespace(), name)?.text() {
        "" => Err(Failure::malformed(format!("`{name}` is empty"))),
        text => Ok(text.to_owned()),
    }
}

fn read_attribute(element: &Element, name: &str) -> Result<String, Failure> {
    let value = element.attribute(name);
    value.map(str::to_owned).ok_or_else(|| Failure::malformed(format!("`{}` has no `{name}`", element.name())))
}

fn read_coded(element: &Element) -> Result<Coded, Failure> {
    Ok(Coded { code: read_attribute(element, "code")?, name: element.text().to_owned() })
}

fn read_money(element: &Element) -> Result<Money, Failure> {
    Ok(Money { amount: read_decimal(element)?, currency: read_attribute(element, "currency")? })
}

/// A decimal as XML Schema writes it: no exponent.
fn read_decimal(element: &Element) -> Result<String, Failure> {
    let text = element.text();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(fraction) {
        return Ok(text.to_owned());
    }
    Err(Failure::malformed(format!("`{}` is no decimal", element.name())))
}

fn read_date(element: &Element, name: &str) -> Result<String, Failure> {
    let date = read_text(element, name)?;
    if is_date(&date) { Ok(date) } else { Err(Failure::malformed(format!("`{name}` is no date"))) }
}

fn read_optional_date(element: &Element, name: &str) -> Result<Option<String>, Failure> {
    element.child(element.namespace(), name).map(|_| read_date(element, name)).transpose()
}

/// Whether a text has the shape of a date: `2026-01-15`.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}
