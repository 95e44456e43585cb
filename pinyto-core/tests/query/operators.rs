//! What each operator means.

use serde_json::json;

use crate::support::{all, check};

#[test]
fn an_empty_query_matches_everything() {
    check(&json!({}), all![{}, {"a": 1}], all![]);
}

#[test]
fn a_value_matches_what_equals_it_by_value() {
    check(
        &json!({"a": 1}),
        all![{"a": 1}, {"a": 1.0}, {"a": [0, 1]}, {"a": [1.0]}],
        all![{}, {"a": 2}, {"a": "1"}, {"a": true}, {"a": [[1]]}, {"b": 1}, {"a": {"a": 1}}],
    );
    check(
        &json!({"a": "x"}),
        all![{"a": "x"}, {"a": ["x"]}],
        all![{"a": "X"}, {"a": "xx"}],
    );
    check(
        &json!({"a": true}),
        all![{"a": true}],
        all![{"a": 1}, {"a": "true"}, {"a": false}],
    );
    check(
        &json!({"a": 0}),
        all![{"a": 0}, {"a": -0.0}],
        all![{"a": false}, {"a": null}],
    );
}

#[test]
fn numbers_beyond_the_precision_of_floats_are_told_apart() {
    let big = 9_007_199_254_740_993_i64;
    check(
        &json!({ "a": big }),
        all![{ "a": big }],
        all![{"a": 9_007_199_254_740_992_i64}, {"a": 9_007_199_254_740_992.0}, {"a": (big + 1)}],
    );
    check(
        &json!({"a": {"$gt": 18_446_744_073_709_551_614_u64}}),
        all![{"a": u64::MAX}, {"a": 18_446_744_073_709_551_616.0}],
        all![{"a": 18_446_744_073_709_551_614_u64}, {"a": 1.844_674_407_370_955e19}],
    );
    check(
        &json!({"a": 9_223_372_036_854_775_808.0}),
        all![{"a": 9_223_372_036_854_775_808_u64}],
        all![{"a": i64::MAX}],
    );
}

#[test]
fn null_matches_null_and_what_is_missing() {
    let query = json!({"a.b": null});
    check(
        &query,
        all![{}, {"a": null}, {"a": 1}, {"a": {}}, {"a": {"b": null}}, {"a": {"b": [1, null]}},
             {"a": [{}]}, {"a": [{"b": 1}, {}]}, {"a": [{"b": null}]}],
        all![{"a": {"b": 1}}, {"a": {"b": []}}, {"a": []}, {"a": [1]}, {"a": [{"b": 1}]}, {"a": [[{}]]}],
    );
}

#[test]
fn objects_and_arrays_match_as_a_whole() {
    check(
        &json!({"a": {"x": 1, "y": [2]}}),
        all![{"a": {"x": 1, "y": [2]}}, {"a": {"y": [2.0], "x": 1.0}}, {"a": [{"x": 1, "y": [2]}]}],
        all![{"a": {"x": 1}}, {"a": {"x": 1, "y": [2], "z": 3}}, {"a": {"x": 1, "y": 2}}],
    );
    check(
        &json!({"a": {}}),
        all![{"a": {}}],
        all![{}, {"a": {"b": 1}}, {"a": []}],
    );
    check(
        &json!({"a": [1, 2]}),
        all![{"a": [1, 2]}, {"a": [[1, 2], 3]}],
        all![{"a": [2, 1]}, {"a": [1, 2, 3]}, {"a": 1}, {"a": [[[1, 2]]]}],
    );
    check(
        &json!({"a": []}),
        all![{"a": []}, {"a": [[]]}],
        all![{}, {"a": [1]}, {"a": null}],
    );
}

#[test]
fn eq_and_ne_are_opposites() {
    check(
        &json!({"a": {"$eq": 1}}),
        all![{"a": 1}, {"a": [1]}],
        all![{}, {"a": 2}],
    );
    check(
        &json!({"a": {"$eq": {"b": 1}}}),
        all![{"a": {"b": 1}}],
        all![{"a": {"b": 2}}],
    );
    check(
        &json!({"a": {"$ne": 1}}),
        all![{}, {"a": 2}, {"a": [2]}],
        all![{"a": 1}, {"a": [1, 2]}],
    );
    check(
        &json!({"a": {"$ne": null}}),
        all![{"a": 0}, {"a": []}],
        all![{}, {"a": null}, {"a": [null]}],
    );
}

#[test]
fn comparisons_stay_within_a_type_class() {
    check(
        &json!({"a": {"$gt": 1}}),
        all![{"a": 1.5}, {"a": [0, 2]}],
        all![{}, {"a": 1}, {"a": "2"}, {"a": true}, {"a": null}, {"a": {"b": 2}}, {"a": [[2]]}],
    );
    check(
        &json!({"a": {"$gte": 1}}),
        all![{"a": 1.0}, {"a": 2}],
        all![{"a": 0.9}, {"a": "1"}],
    );
    check(
        &json!({"a": {"$lt": "b"}}),
        all![{"a": ""}, {"a": "B"}, {"a": "az"}],
        all![{"a": "b"}, {"a": 1}, {}],
    );
    check(
        &json!({"a": {"$lte": "b"}}),
        all![{"a": "b"}],
        all![{"a": "ba"}, {"a": null}],
    );
    check(
        &json!({"a": {"$lt": true}}),
        all![{"a": false}],
        all![{"a": true}, {"a": 0}],
    );
    check(
        &json!({"a": {"$gt": {"b": 1}}}),
        all![{"a": {"b": 2}}, {"a": {"b": 1, "c": 0}}],
        all![{"a": {"b": 1}}, {"a": 9}],
    );
    check(
        &json!({"a": {"$gte": [1, 2]}}),
        all![{"a": [1, 2]}, {"a": [2]}, {"a": [[3]]}],
        all![{"a": [1]}, {"a": 9}],
    );
    for within in ["$gte", "$lte"] {
        check(
            &json!({"a": {within: null}}),
            all![{}, {"a": null}],
            all![{"a": 1}, {"a": false}],
        );
    }
    check(
        &json!({"a": {"$gt": null}}),
        all![],
        all![{}, {"a": null}, {"a": 1}],
    );
}

#[test]
fn several_operators_at_a_path_may_hold_for_different_members() {
    check(
        &json!({"a": {"$gt": 3, "$lt": 3}}),
        all![{"a": [1, 5]}],
        all![{"a": 1}, {"a": [4, 5]}, {"a": []}],
    );
}

#[test]
fn in_matches_one_of_several_values() {
    check(
        &json!({"a": {"$in": [1, "x", [2], {"b": 1}]}}),
        all![{"a": 1.0}, {"a": "x"}, {"a": [0, "x"]}, {"a": [2]}, {"a": {"b": 1}}],
        all![{}, {"a": 2}, {"a": null}, {"a": "1"}, {"a": []}],
    );
    check(
        &json!({"a": {"$in": [null, 3]}}),
        all![{}, {"a": null}, {"a": 3}],
        all![{"a": 0}],
    );
    check(
        &json!({"a": {"$in": []}}),
        all![],
        all![{}, {"a": 1}, {"a": []}],
    );
    check(
        &json!({"a": {"$nin": [1, null]}}),
        all![{"a": 2}, {"a": []}],
        all![{}, {"a": [1, 2]}, {"a": null}],
    );
    check(&json!({"a": {"$nin": []}}), all![{}, {"a": 1}], all![]);
}

#[test]
fn exists_asks_whether_a_path_leads_somewhere() {
    check(
        &json!({"a.b": {"$exists": true}}),
        all![{"a": {"b": null}}, {"a": {"b": []}}, {"a": [1, {"b": 0}]}],
        all![{}, {"a": {}}, {"a": 1}, {"a": []}, {"a": [{}]}, {"a": [[{"b": 1}]]}],
    );
    check(
        &json!({"a": {"$exists": false}}),
        all![{}],
        all![{"a": null}],
    );
    check(
        &json!({"a.0": {"$exists": false}}),
        all![{}, {"a": []}, {"a": 1}],
        all![{"a": [null]}],
    );
    check(&json!({"a": {"$exists": 1}}), all![{"a": 1}], all![{}]);
    check(&json!({"a": {"$exists": 0.0}}), all![{}], all![{"a": 1}]);
}

#[test]
fn type_asks_for_names_or_numbers_of_types() {
    check(
        &json!({"a": {"$type": "string"}}),
        all![{"a": ""}, {"a": [1, "x"]}],
        all![{}, {"a": 1}, {"a": null}],
    );
    check(&json!({"a": {"$type": 2}}), all![{"a": ""}], all![{"a": 1}]);
    check(
        &json!({"a": {"$type": "array"}}),
        all![{"a": []}, {"a": [[1]]}],
        all![{"a": 1}, {}],
    );
    check(
        &json!({"a": {"$type": "null"}}),
        all![{"a": null}, {"a": [null]}],
        all![{}, {"a": 0}],
    );
    check(
        &json!({"a": {"$type": "object"}}),
        all![{"a": {}}],
        all![{"a": []}],
    );
    check(
        &json!({"a": {"$type": "bool"}}),
        all![{"a": false}],
        all![{"a": 0}],
    );
    check(
        &json!({"a": {"$type": "number"}}),
        all![{"a": 1}, {"a": 1.5}],
        all![{"a": "1"}],
    );
    check(
        &json!({"a": {"$type": "int"}}),
        all![{"a": 1}, {"a": i32::MIN}],
        all![{"a": 1.0}, {"a": 2_147_483_648_i64}],
    );
    check(
        &json!({"a": {"$type": "long"}}),
        all![{"a": 2_147_483_648_i64}, {"a": u64::MAX}],
        all![{"a": 1}, {"a": 1e30}],
    );
    check(
        &json!({"a": {"$type": "double"}}),
        all![{"a": 1.0}, {"a": 0.5}],
        all![{"a": 1}],
    );
    check(
        &json!({"a": {"$type": ["bool", 10.0]}}),
        all![{"a": true}, {"a": null}],
        all![{"a": 1}, {}],
    );
}

#[test]
fn regex_looks_for_a_pattern_in_texts() {
    check(
        &json!({"a": {"$regex": "b+"}}),
        all![{"a": "abba"}, {"a": ["x", "b"]}],
        all![{"a": "a"}, {"a": 1}, {}, {"a": [["b"]]}],
    );
    check(
        &json!({"a": {"$regex": "^b"}}),
        all![{"a": "b"}],
        all![{"a": "ab"}, {"a": "a\nb"}],
    );
    check(
        &json!({"a": {"$regex": "^B", "$options": "im"}}),
        all![{"a": "a\nb"}],
        all![{"a": "ab"}],
    );
    check(
        &json!({"a": {"$regex": "a.b"}}),
        all![{"a": "a b"}],
        all![{"a": "a\nb"}],
    );
    check(
        &json!({"a": {"$regex": "a.b", "$options": "s"}}),
        all![{"a": "a\nb"}],
        all![],
    );
    check(
        &json!({"a": {"$regex": "a b # both", "$options": "x"}}),
        all![{"a": "ab"}],
        all![{"a": "a b"}],
    );
    check(
        &json!({"a": {"$regex": "a", "$ne": "a"}}),
        all![{"a": "ab"}],
        all![{"a": "a"}],
    );
}

#[test]
fn not_turns_its_operators_round_together() {
    check(
        &json!({"a": {"$not": {"$gt": 1}}}),
        all![{}, {"a": 1}, {"a": "x"}, {"a": []}],
        all![{"a": 2}, {"a": [0, 2]}],
    );
    check(
        &json!({"a": {"$not": {"$gt": 1, "$lt": 5}}}),
        all![{"a": 1}, {"a": 5}, {}],
        all![{"a": 3}, {"a": [0, 9]}],
    );
    check(
        &json!({"a": {"$not": {"$regex": "^b"}}}),
        all![{"a": "a"}, {"a": 1}, {}],
        all![{"a": "b"}],
    );
    check(
        &json!({"a": {"$not": {"$not": {"$eq": 1}}}}),
        all![{"a": 1}],
        all![{}, {"a": 2}],
    );
    check(
        &json!({"a": {"$not": {"$elemMatch": {"$gt": 1}}}}),
        all![{}, {"a": 2}, {"a": [1]}],
        all![{"a": [2]}],
    );
}

#[test]
fn logic_joins_whole_queries() {
    check(
        &json!({"a": 1, "b": 2}),
        all![{"a": 1, "b": 2}],
        all![{"a": 1}, {"b": 2}],
    );
    check(
        &json!({"$and": [{"a": 1}, {"b": 2}]}),
        all![{"a": 1, "b": 2}],
        all![{"a": 1}],
    );
    check(
        &json!({"$or": [{"a": 1}, {"b": 2}]}),
        all![{"a": 1}, {"b": 2}],
        all![{}, {"a": 2}],
    );
    check(
        &json!({"$nor": [{"a": 1}, {"b": 2}]}),
        all![{}, {"a": 2}],
        all![{"a": 1}, {"b": 2}],
    );
    check(
        &json!({"c": 3, "$or": [{"a": 1}, {"$and": [{"b": 2}, {"$nor": [{"d": 4}]}]}]}),
        all![{"c": 3, "a": 1}, {"c": 3, "b": 2}],
        all![{"a": 1}, {"c": 3}, {"c": 3, "b": 2, "d": 4}],
    );
    check(&json!({"$or": [{}]}), all![{}], all![]);
}

#[test]
fn all_wants_each_of_its_values() {
    check(
        &json!({"a": {"$all": [1, 2]}}),
        all![{"a": [2, 3, 1]}],
        all![{}, {"a": 1}, {"a": [1]}, {"a": [[1, 2]]}],
    );
    check(
        &json!({"a": {"$all": [1]}}),
        all![{"a": 1}, {"a": [1]}],
        all![{"a": 2}],
    );
    check(
        &json!({"a": {"$all": [[1, 2]]}}),
        all![{"a": [1, 2]}, {"a": [[1, 2], 0]}],
        all![{"a": [2, 1]}],
    );
    check(
        &json!({"a": {"$all": [null]}}),
        all![{}, {"a": null}],
        all![{"a": 1}],
    );
    check(
        &json!({"a": {"$all": []}}),
        all![],
        all![{}, {"a": []}, {"a": 1}],
    );
    check(
        &json!({"a": {"$all": [{"$elemMatch": {"b": 1}}, {"$elemMatch": {"$lt": 5}}]}}),
        all![{"a": [{"b": 1}, 2]}],
        all![{"a": [{"b": 1}]}, {"a": [2]}, {"a": {"b": 1}}],
    );
}

#[test]
fn size_counts_the_members() {
    check(
        &json!({"a": {"$size": 2}}),
        all![{"a": [1, 2]}, {"a": [[], []]}],
        all![{}, {"a": 2}, {"a": [1]}, {"a": [[1, 2]]}, {"a": "xy"}],
    );
    check(
        &json!({"a.b": {"$size": 0.0}}),
        all![{"a": {"b": []}}, {"a": [{"b": []}]}],
        all![{"a": {"b": [1]}}, {"a": []}],
    );
}

#[test]
fn elem_match_wants_one_member_for_which_everything_holds() {
    check(
        &json!({"a": {"$elemMatch": {"$gt": 3, "$lt": 6}}}),
        all![{"a": [1, 5]}],
        all![{}, {"a": 5}, {"a": [1, 9]}, {"a": [[5]]}, {"a": []}],
    );
    check(
        &json!({"a": {"$elemMatch": {"b": 1, "c": {"$gt": 1}}}}),
        all![{"a": [{"b": 1, "c": 2}]}, {"a": [0, {"b": [1], "c": [0, 2]}]}],
        all![{"a": {"b": 1, "c": 2}}, {"a": [{"b": 1, "c": 1}, {"b": 2, "c": 2}]}],
    );
    check(
        &json!({"a": {"$elemMatch": {"$or": [{"b": 1}, {"b": 2}]}}}),
        all![{"a": [{"b": 2}]}],
        all![{"a": [{"b": 3}]}, {"a": [1]}],
    );
    check(
        &json!({"a": {"$elemMatch": {"$elemMatch": {"$eq": 1}}}}),
        all![{"a": [[2, 1]]}],
        all![{"a": [1]}, {"a": [[2]]}, {"a": [[[1]]]}],
    );
    check(
        &json!({"a": {"$elemMatch": {"b": {"$elemMatch": {"c": {"$exists": true}}}}}}),
        all![{"a": [{"b": [{"c": 1}]}]}],
        all![{"a": [{"b": {"c": 1}}]}],
    );
    check(
        &json!({"a": {"$elemMatch": {"0": 1}}}),
        all![{"a": [[1, 2]]}],
        all![{"a": [1]}],
    );
    check(
        &json!({"a": {"$elemMatch": {}}}),
        all![{"a": [{}]}, {"a": [1, []]}],
        all![{"a": [1]}, {"a": []}],
    );
    check(
        &json!({"a": {"$elemMatch": {"$not": {"$gt": 1}}}}),
        all![{"a": [1, 2]}],
        all![{"a": [2]}, {"a": []}],
    );
}

#[test]
fn single_members_are_not_looked_into() {
    let of_members = |predicate| json!({"a": {"$elemMatch": predicate}});
    check(
        &of_members(json!({"$in": [1, [2]]})),
        all![{"a": [1]}, {"a": [[2]]}],
        all![{"a": [[1]]}],
    );
    check(
        &of_members(json!({"$nin": [1]})),
        all![{"a": [[1]]}],
        all![{"a": [1]}],
    );
    check(
        &of_members(json!({"$ne": 1})),
        all![{"a": [[1]]}, {"a": [1, 2]}],
        all![{"a": [1]}],
    );
    check(
        &of_members(json!({"$all": [[1]]})),
        all![{"a": [[1]]}],
        all![{"a": [1]}],
    );
    check(
        &of_members(json!({"$all": []})),
        all![],
        all![{"a": [[]]}, {"a": []}],
    );
    check(
        &of_members(json!({"$size": 1})),
        all![{"a": [[1]]}],
        all![{"a": [1]}],
    );
    check(
        &of_members(json!({"$type": "string"})),
        all![{"a": ["x"]}],
        all![{"a": [["x"]]}],
    );
    check(
        &of_members(json!({"$regex": "x"})),
        all![{"a": ["x"]}],
        all![{"a": [["x"]]}, {"a": [1]}],
    );
    check(
        &of_members(json!({"$mod": [2, 1]})),
        all![{"a": [3]}],
        all![{"a": [[3]]}, {"a": [2]}],
    );
    check(
        &of_members(json!({"$exists": true})),
        all![{"a": [null]}],
        all![{"a": []}],
    );
    check(
        &of_members(json!({"$exists": false})),
        all![],
        all![{"a": [null]}, {"a": []}],
    );
    check(
        &of_members(json!({"$eq": null})),
        all![{"a": [null]}],
        all![{"a": []}, {"a": [{}]}],
    );
    check(
        &of_members(json!({"$gte": 1, "$lte": 1})),
        all![{"a": [1]}],
        all![{"a": [0, 2]}],
    );
}

#[test]
fn mod_divides_integers() {
    check(
        &json!({"a": {"$mod": [4, 1]}}),
        all![{"a": 5}, {"a": 5.9}, {"a": [2, 9]}, {"a": 1_000_000_000_000_001_u64}],
        all![{}, {"a": 4}, {"a": -3}, {"a": "5"}, {"a": true}, {"a": 1e300}],
    );
    check(
        &json!({"a": {"$mod": [4, -3]}}),
        all![{"a": -3}, {"a": -7}],
        all![{"a": 1}],
    );
    check(
        &json!({"a": {"$mod": [-4.7, 1.2]}}),
        all![{"a": 5}],
        all![{"a": 6}],
    );
    check(
        &json!({"a": {"$mod": [i64::MIN, 0]}}),
        all![{"a": i64::MIN}, {"a": 0}],
        all![{"a": 1}],
    );
    check(
        &json!({"a": {"$mod": [-1, 0]}}),
        all![{"a": i64::MIN}],
        all![],
    );
}
