document = request.json.get("document")
if not isinstance(document, dict) or not document.get("_id"):
    return {"error": "Send the entry to delete as an object with its _id."}
stored = db.find_document_for_id(document["_id"])
if stored is not None and stored.get("type") == "todo":
    db.remove(stored)
return {"success": True}
