// A database of ltijs in memory.
const rows = [];
const matching = (collection, query = {}) =>
  rows.filter(
    (row) => row.collection === collection && Object.entries(query).every(([name, value]) => row.item[name] === value),
  );

export const database = {
  setup: async () => true,
  Get: async (_, collection, query) => {
    const found = matching(collection, query).map(({ item }) => item);
    return found.length > 0 && found;
  },
  Insert: async (_, collection, item, index) => {
    rows.push({ collection, item: { ...index, ...item, createdAt: Date.now() } });
    return true;
  },
  Replace: async (_, collection, query, item, index) => {
    await database.Delete(collection, query);
    return database.Insert(_, collection, item, index);
  },
  Modify: async (_, collection, query, modification) => {
    for (const row of matching(collection, query)) Object.assign(row.item, modification);
    return true;
  },
  Delete: async (collection, query) => {
    for (const row of matching(collection, query)) rows.splice(rows.indexOf(row), 1);
    return true;
  },
  Close: async () => true,
};
