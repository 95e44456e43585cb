# Removes a book. That it isn't there any more is no error.
db.remove({"_id": request.json.get("_id")})
return {"success": True}
