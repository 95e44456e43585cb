# Another copy of a book, as an entry of its own.
book = db.find_document_for_id(request.json.get("_id", ""))
if book is None:
    return {"error": "There is no such book."}
title = book["data"].get("title", "?")
return {"success": True, "_id": db.insert({**book, "data": {**book["data"], "title": "Copy of %s" % title}})}
