document = request.json.get("document")
if not isinstance(document, dict):
    return {"error": "Send the document to save as an object."}
if not document.get("_id"):
    return {"success": True, "_id": db.insert(document)}
try:
    return {"success": True, "_id": db.save(document)}
except LookupError:
    return {"error": "There is no document with this _id."}
