# Changes some fields of all books that a query finds.
changed = 0
for book in db.find_documents({**request.json.get("query", {}), "type": "book"}):
    for field, value in request.json.get("changes", {}).items():
        book["data"][field] = value
    db.save(book)
    changed += 1
print(f"{changed} books changed")
return {"success": True, "changed": changed}
