# Looks up what is missing of new books at the web page of a library.
settings = db.find({"type": "settings"}, limit=1)
if not settings:
    return {"error": "Store a document of the type settings with the catalogue's URL first."}
catalogue = settings[0]["data"]["catalogue"]
http = factory.create("Http")
row = {"tag": "tr", "attrs": {}}
for book in db.find_documents({"type": "book", "data.title": {"$exists": False}}, limit=8):
    page = http.get(catalogue + "?isbn=" + book["data"]["isbn"])
    html = factory.create("ParseHtml", page)
    table = {"tag": "table", "attrs": {"class": "book"}}
    if not html.contains(table):
        print("nothing known about", book["data"]["isbn"])
        continue
    found = html.find_element_and_collect_table_like_information([table, row], {
        "title": {"captions": ["Title", "Titel"]},
        "author": {"captions": ["Author", "Person(en)"]},
        "year": {"captions": ["Year", "Zeitliche Einordnung"]},
    })
    if "year" in found:
        digits = re.search(r"\d{4}", found["year"])
        found["year"] = int(digits.group()) if digits else None
    book["data"] = {**book["data"], **found}
    db.save(book)
return {"success": True}
