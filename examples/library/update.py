# Changes some fields of one book.
book = db.find_document_for_id(request.json.get("_id", ""))
if book is None or book["type"] != "book":
    return {"error": "There is no such book."}
changes = request.json.get("changes", {})
book["data"] = {**book["data"], **changes}
db.save(book)
return {"success": True, "book": book}
