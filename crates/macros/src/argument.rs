//! What stands in the parentheses of `#[server_endpoint("/path", subprotocols = ["…"])]`.

use proc_macro2::Span;
use syn::{
    Error, Ident, LitStr, Token, bracketed,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::template::{Segment, Template};

/// The attribute's arguments, all of them legal.
pub(crate) struct Arguments {
    pub(crate) path: LitStr,
    pub(crate) subprotocols: Vec<LitStr>,
    template: Template,
}

impl Arguments {
    /// Whether the path has a variable of this name.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.variables().any(|variable| variable == name)
    }

    /// The names of the path's variables, from left to right.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let segments = self.template.segments().iter();
        segments.filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Variable(name) => Some(&**name),
        })
    }

    /// The path as it was written.
    pub(crate) fn template(&self) -> &str {
        self.template.as_str()
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Err(Error::new(Span::call_site(), PATH_MISSING));
        }
        let path: LitStr = input
            .parse()
            .map_err(|error| Error::new(error.span(), PATH_MISSING))?;
        let template = Template::parse(&path.value())
            .map_err(|error| Error::new(path.span(), error.to_string()))?;

        let mut subprotocols = None;
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let name: Ident = input.parse()?;
            if name != "subprotocols" {
                return Err(Error::new(
                    name.span(),
                    format!(
                        "`{name}` is no argument of `#[server_endpoint]`; after the path it takes \
                         `subprotocols = [\"…\"]`"
                    ),
                ));
            }
            if subprotocols.is_some() {
                return Err(Error::new(
                    name.span(),
                    "`subprotocols` is given twice; write one list of all of them",
                ));
            }
            input.parse::<Token![=]>()?;
            subprotocols = Some(parse_subprotocols(input)?);
        }
        Ok(Self {
            path,
            subprotocols: subprotocols.unwrap_or_default(),
            template,
        })
    }
}

fn parse_subprotocols(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let list;
    bracketed!(list in input);
    let names: Vec<LitStr> = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?
        .into_iter()
        .collect();
    for (index, name) in names.iter().enumerate() {
        let value = name.value();
        if value.is_empty() || !value.bytes().all(is_token_byte) {
            return Err(Error::new(
                name.span(),
                "the name of a subprotocol is a token; write letters, digits and any of \
                 `!#$%&'*+-.^_|~` and the backtick",
            ));
        }
        if names
            .iter()
            .take(index)
            .any(|earlier| earlier.value() == value)
        {
            return Err(Error::new(
                name.span(),
                format!("the subprotocol `{value}` is listed twice; remove one"),
            ));
        }
    }
    Ok(names)
}

/// RFC 6455 §4.1 wants the elements of `Sec-WebSocket-Protocol` to be HTTP's tokens.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const PATH_MISSING: &str = "an endpoint needs the path that it is served at; write \
                            `#[server_endpoint(\"/chat/{room}\")]`";
