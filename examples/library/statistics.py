# How many books there are, and where.
oldest = db.find({"type": "book", "data.year": {"$type": "number"}}, limit=1, sorting="data.year")
places = db.find_distinct({"type": "book"}, "data.place")
return {
    "books": db.count({"type": "book"}),
    "lent": db.count({"type": "book", "data.lent_to": {"$nin": [None, ""]}}),
    "places": {place: db.count({"type": "book", "data.place": place}) for place in places},
    "oldest": oldest[0]["data"]["year"] if oldest else None,
}
