//! Schemas as code generators and validators need them: which properties may be null, and unions that say which case they are.

use std::collections::BTreeSet;

use utoipa::{
    Modify,
    openapi::{
        Discriminator, OneOf, OpenApi, Ref, RefOr, Schema,
        schema::{AnyOfBuilder, ArrayItems, Object, SchemaType, Type},
    },
};

/// Says of each property either that it may be left out, or that it may be null, and never both.
///
/// utoipa says of every `Option` that it may be both. Answers of this API leave out what is not there, but for properties that are
/// marked as required, which are null then. A property of any JSON value needs no null beside it: as `oneOf` such a pair has no
/// value at all that is null.
pub(super) struct Nullability;

impl Modify for Nullability {
    fn modify(&self, described: &mut OpenApi) {
        let Some(components) = &mut described.components else { return };
        let of_any_value =
            |schema: &RefOr<Schema>| matches!(schema, RefOr::T(Schema::Object(Object { schema_type: SchemaType::AnyValue, .. })));
        let named = components.schemas.iter().filter(|(_, schema)| of_any_value(schema));
        let any_values: BTreeSet<String> = named.map(|(name, _)| format!("#/components/schemas/{name}")).collect();
        components.schemas.values_mut().for_each(|schema| properties(schema, &any_values));
    }
}

fn properties(schema: &mut RefOr<Schema>, any_values: &BTreeSet<String>) {
    match schema {
        RefOr::Ref(_) => {}
        RefOr::T(Schema::Object(object)) => {
            for (name, property) in &mut object.properties {
                if object.required.contains(name) {
                    null_or_the_rest(property, any_values);
                } else {
                    without_null(property);
                }
                properties(property, any_values);
            }
        }
        RefOr::T(Schema::Array(array)) => match &mut array.items {
            ArrayItems::RefOrSchema(items) => properties(items, any_values),
            ArrayItems::False => {}
        },
        RefOr::T(Schema::OneOf(one_of)) => one_of.items.iter_mut().for_each(|item| properties(item, any_values)),
        RefOr::T(Schema::AllOf(all_of)) => all_of.items.iter_mut().for_each(|item| properties(item, any_values)),
        RefOr::T(Schema::AnyOf(any_of)) => any_of.items.iter_mut().for_each(|item| properties(item, any_values)),
        // utoipa keeps room for more kinds of schemas.
        RefOr::T(_) => {}
    }
}

/// Removes null from what a schema allows. True: it was there.
pub(super) fn without_null(schema: &mut RefOr<Schema>) -> bool {
    match schema {
        RefOr::T(Schema::Object(Object { schema_type: schema_type @ SchemaType::Array(_), .. })) => {
            let SchemaType::Array(types) = &*schema_type else { return false };
            let rest: Vec<Type> = types.iter().filter(|one| **one != Type::Null).cloned().collect();
            let had_null = rest.len() < types.len();
            *schema_type = match <[Type; 1]>::try_from(rest) {
                Ok([only]) => SchemaType::Type(only),
                Err(rest) => SchemaType::Array(rest),
            };
            had_null
        }
        RefOr::T(Schema::OneOf(one_of)) => {
            let Some(rest) = rest_of(one_of) else { return false };
            *schema = rest;
            true
        }
        RefOr::Ref(_) | RefOr::T(_) => false,
    }
}

/// Writes "null or something" as `anyOf`, and as that something alone if it includes null.
fn null_or_the_rest(schema: &mut RefOr<Schema>, any_values: &BTreeSet<String>) {
    let RefOr::T(Schema::OneOf(one_of)) = schema else { return };
    let Some(rest) = rest_of(one_of) else { return };
    let is_any_value = matches!(&rest, RefOr::Ref(to) if any_values.contains(&to.ref_location));
    *schema = if is_any_value {
        rest
    } else {
        let null = Object::with_type(Type::Null);
        let either = AnyOfBuilder::new().description(one_of.description.take()).item(rest).item(null);
        RefOr::T(Schema::AnyOf(either.build()))
    };
}

/// The other of two schemas of which one is null, with the description of the two.
fn rest_of(one_of: &OneOf) -> Option<RefOr<Schema>> {
    let is_null = |item: &&RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null));
    let [rest] = one_of.items.iter().filter(|item| !is_null(item)).collect::<Vec<_>>()[..] else { return None };
    if one_of.items.len() != 2 {
        return None;
    }
    Some(match (rest, &one_of.description) {
        (RefOr::Ref(to), Some(description)) if to.description.is_empty() => {
            let mut to = to.clone();
            to.description.clone_from(description);
            RefOr::Ref(to)
        }
        (rest, _) => rest.clone(),
    })
}

/// Gives each case of a tagged union a schema of its own name, and the union the property that tells the cases apart.
///
/// A discriminator is defined for named schemas only, and generators name a type after its schema.
pub(super) struct Unions;

impl Modify for Unions {
    fn modify(&self, described: &mut OpenApi) {
        let Some(components) = &mut described.components else { return };
        let mut cases = Vec::new();
        for (name, schema) in &mut components.schemas {
            let RefOr::T(Schema::OneOf(union)) = schema else { continue };
            let tags: Option<Vec<(String, String)>> = union.items.iter().map(tag).collect();
            let Some(tags) = tags.filter(|tags| !tags.is_empty()) else { continue };
            let mut discriminator = Discriminator::new(&tags[0].0);
            for ((_, value), item) in tags.iter().zip(&mut union.items) {
                let case = format!("{name}{}", pascal_case(value));
                let to = Ref::from_schema_name(&case);
                discriminator.mapping.insert(value.clone(), to.ref_location.clone());
                cases.push((case, std::mem::replace(item, RefOr::Ref(to))));
            }
            union.discriminator = Some(discriminator);
        }
        components.schemas.extend(cases);
    }
}

/// The property that has one value only, and this value.
fn tag(case: &RefOr<Schema>) -> Option<(String, String)> {
    match case {
        RefOr::T(Schema::Object(object)) => object.required.iter().find_map(|name| {
            let RefOr::T(Schema::Object(property)) = object.properties.get(name)? else { return None };
            let [value] = property.enum_values.as_deref()? else { return None };
            Some((name.clone(), value.as_str()?.to_owned()))
        }),
        RefOr::T(Schema::AllOf(all_of)) => all_of.items.iter().find_map(tag),
        RefOr::Ref(_) | RefOr::T(_) => None,
    }
}

/// `in_order` as `InOrder`.
fn pascal_case(name: &str) -> String {
    let capitalised = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    });
    capitalised.collect()
}
