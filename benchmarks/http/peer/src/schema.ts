import { relations } from 'drizzle-orm';
import { boolean, integer, pgTable, smallint, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core';

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 }).notNull();

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
  createdAt: instant('created_at'),
});

export const users = pgTable('users', {
  id: uuid('id').primaryKey(),
  email: text('email').notNull(),
  role: text('role').notNull(),
});

export const quizzes = pgTable('quizzes', {
  id: uuid('id').primaryKey(),
  title: text('title').notNull(),
  description: text('description'),
  isPublic: boolean('is_public').notNull(),
  createdById: uuid('created_by_id').notNull(),
  wordsTotal: integer('words_total').notNull(),
  createdAt: instant('created_at'),
  updatedAt: instant('updated_at'),
});

export const quizWords = pgTable('quiz_words', {
  id: uuid('id').primaryKey(),
  quizId: uuid('quiz_id').notNull(),
  wordId: uuid('word_id').notNull(),
  position: integer('position').notNull(),
});

export const attempts = pgTable('attempts', {
  id: uuid('id').primaryKey(),
  userId: uuid('user_id').notNull(),
  quizId: uuid('quiz_id').notNull(),
  score: smallint('score').notNull(),
  answers: text('answers').array().notNull(),
  correct: boolean('correct').array().notNull(),
  completedAt: instant('completed_at').defaultNow(),
  createdAt: instant('created_at').defaultNow(),
  updatedAt: instant('updated_at').defaultNow(),
});

export const progress = pgTable(
  'progress',
  {
    id: uuid('id').primaryKey(),
    userId: uuid('user_id').notNull(),
    wordId: uuid('word_id').notNull(),
    masteryLevel: smallint('mastery_level').notNull(),
    lastReviewedAt: instant('last_reviewed_at'),
    nextReviewAt: instant('next_review_at'),
    createdAt: instant('created_at').defaultNow(),
    updatedAt: instant('updated_at').defaultNow(),
  },
  (table) => [uniqueIndex('progress_user_id_word_id_key').on(table.userId, table.wordId)],
);

export const quizRelations = relations(quizzes, ({ one, many }) => ({
  creator: one(users, { fields: [quizzes.createdById], references: [users.id] }),
  quizWords: many(quizWords),
}));

export const quizWordRelations = relations(quizWords, ({ one }) => ({
  quiz: one(quizzes, { fields: [quizWords.quizId], references: [quizzes.id] }),
  word: one(words, { fields: [quizWords.wordId], references: [words.id] }),
}));

export const attemptRelations = relations(attempts, ({ one }) => ({
  quiz: one(quizzes, { fields: [attempts.quizId], references: [quizzes.id] }),
}));
