import { pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core';

export const words = pgTable('words', {
  id: uuid('id').primaryKey(),
  hiragana: text('hiragana').notNull(),
  katakana: text('katakana'),
  kanji: text('kanji'),
  romaji: text('romaji'),
  english: text('english').notNull(),
  pronunciationUrl: text('pronunciation_url'),
  level: text('level'),
  topic: text('topic'),
  partOfSpeech: text('part_of_speech'),
  createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull(),
});
